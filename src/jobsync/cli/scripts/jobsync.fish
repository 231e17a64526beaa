# fish completion for jobsync; generated, and asks jobsync itself for what only the database knows
function __jobsync_at
    set -l at jobsync
    set -l n 0
    set -l skip ''
    for word in (commandline -opc)[2..]
        if test -n "$skip"
            set skip ''
            continue
        end
        switch "$at $word"
            case @paths@
                set at "$at $word"
                continue
        end
        switch "$word"
            case @valued@
                set skip 1
            case '-*'
            case '*'
                set n (math $n + 1)
        end
    end
    test "$at" = "$argv[1]"; or return 1
    test (count $argv) -eq 1; or contains -- $n $argv[2..]
end
function __jobsync_values
    jobsync values $argv[1] 2>/dev/null </dev/null
end
@lines@
