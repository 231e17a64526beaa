# bash completion for jobsync; generated, and asks jobsync itself for what only the database knows
_jobsync() {
    local at=jobsync words='' options asked='' word about i n=0 skip=''
    local typed=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ -n $skip ]]; then
            skip=''
            continue
        fi
        case "$at $word" in
        @paths@)
            at="$at $word"
            continue
            ;;
        esac
        case "$word" in
        @valued@) skip=1 ;;
        -*) ;;
        *) n=$((n + 1)) ;;
        esac
    done
    case "$at" in
@cases@
    esac
    options=$words words=''
    if [[ -n $skip ]]; then
        options=''
    else
        before=$n
    fi
    case "$at $before" in
@places@
    esac
    COMPREPLY=()
    if [[ $typed != -* && -n $asked ]]; then
        # compared as they are: a name from the database must never be read as a word of the shell
        while IFS=$'\t' read -r word about; do
            [[ $word == "$typed"* ]] && COMPREPLY+=("$word${about:+  $about}")
        done < <(jobsync values "$asked" 2>/dev/null </dev/null)
        if ((${#COMPREPLY[@]} == 1)) || [[ ${COMP_TYPE:-9} == 37 || ${COMP_TYPE:-9} == 42 ]]; then
            COMPREPLY=("${COMPREPLY[@]%%  *}") # to be put into the line, where its name has no place
        fi
    fi
    if ((${#COMPREPLY[@]} == 0)); then
        mapfile -t COMPREPLY < <(compgen -W "$words $options" -- "$typed")
    fi
}
complete -o default -F _jobsync jobsync
