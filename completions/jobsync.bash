# bash completion for jobsync; generated, starts no program
_jobsync() {
    local at=jobsync words='' word i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case "$at $word" in
        'jobsync stock-sync' | 'jobsync check-authorizations' | 'jobsync generate-ride' | 'jobsync logs' | 'jobsync locks' | 'jobsync status' | 'jobsync health' | 'jobsync doctor' | 'jobsync report' | 'jobsync metrics' | 'jobsync alert' | 'jobsync audit' | 'jobsync completion' | 'jobsync man' | 'jobsync demo' | 'jobsync adopt' | 'jobsync db' | 'jobsync db upgrade' | 'jobsync db status' | 'jobsync dealership' | 'jobsync dealership add' | 'jobsync dealership set' | 'jobsync dealership list' | 'jobsync dealership show' | 'jobsync dealership pause' | 'jobsync dealership resume' | 'jobsync dealership schedule' | 'jobsync credentials' | 'jobsync credentials set' | 'jobsync credentials delete' | 'jobsync credentials test' | 'jobsync credentials rotate-key' | 'jobsync settings' | 'jobsync settings list' | 'jobsync settings get' | 'jobsync settings set' | 'jobsync holds' | 'jobsync holds list' | 'jobsync holds show' | 'jobsync holds approve' | 'jobsync holds reject' | 'jobsync stock' | 'jobsync stock history' | 'jobsync stock changes' | 'jobsync stock refused' | 'jobsync stock lock' | 'jobsync stock unlock' | 'jobsync stock exclude' | 'jobsync stock include' | 'jobsync tenant' | 'jobsync tenant add' | 'jobsync tenant list' | 'jobsync tenant show' | 'jobsync tenant pause' | 'jobsync tenant resume' | 'jobsync invoice' | 'jobsync invoice import' | 'jobsync invoice list' | 'jobsync invoice show' | 'jobsync invoice recheck' | 'jobsync invoice export' | 'jobsync sri' | 'jobsync sri explain' | 'jobsync ride' | 'jobsync ride render' | 'jobsync runs' | 'jobsync runs list' | 'jobsync runs prune' | 'jobsync runs show' | 'jobsync schedule' | 'jobsync schedule show' | 'jobsync units' | 'jobsync units show' | 'jobsync units install' | 'jobsync units uninstall' | 'jobsync units diff' | 'jobsync cron' | 'jobsync cron show' | 'jobsync cron run' | 'jobsync sandbox' | 'jobsync sandbox serve' | 'jobsync sandbox seed' | 'jobsync sandbox documents') at="$at $word" ;;
        esac
    done
    case "$at" in
        'jobsync') words='stock-sync check-authorizations generate-ride logs locks status health doctor report metrics alert audit completion man demo adopt db dealership credentials settings holds stock tenant invoice sri ride runs schedule units cron sandbox --version --help' ;;
        'jobsync stock-sync') words='--dealership --scheduled --dry-run --concurrency --wait --json --help' ;;
        'jobsync check-authorizations') words='--tenant --access-key --scheduled --limit --dry-run --wait --json --help' ;;
        'jobsync generate-ride') words='--tenant --access-key --scheduled --force --limit --wait --json --help' ;;
        'jobsync logs') words='--json --help' ;;
        'jobsync locks') words='--json --help' ;;
        'jobsync status') words='--watch --every --window --json --help' ;;
        'jobsync health') words='--act --json --help' ;;
        'jobsync doctor') words='--offline --all --json --help' ;;
        'jobsync report') words='-o --output --days --json --help' ;;
        'jobsync metrics') words='-o --output --help' ;;
        'jobsync alert') words='--unit --json --help' ;;
        'jobsync audit') words='--limit --json --help' ;;
        'jobsync completion') words='bash zsh fish --help' ;;
        'jobsync man') words='--help' ;;
        'jobsync demo') words='--help' ;;
        'jobsync adopt') words='--from --from-schema --dry-run --json --help' ;;
        'jobsync db') words='upgrade status --help' ;;
        'jobsync db upgrade') words='--json --help' ;;
        'jobsync db status') words='--json --help' ;;
        'jobsync dealership') words='add set list show pause resume schedule --help' ;;
        'jobsync dealership add') words='--timezone --email --json --help' ;;
        'jobsync dealership set') words='--name --timezone --email --auto-sync --no-auto-sync --json --help' ;;
        'jobsync dealership list') words='--json --help' ;;
        'jobsync dealership show') words='--json --help' ;;
        'jobsync dealership pause') words='--until --reason --json --help' ;;
        'jobsync dealership resume') words='--json --help' ;;
        'jobsync dealership schedule') words='--default --json --help' ;;
        'jobsync credentials') words='set delete test rotate-key --help' ;;
        'jobsync credentials set') words='--from-stdin --key-lost --json --help' ;;
        'jobsync credentials delete') words='--yes --json --help' ;;
        'jobsync credentials test') words='--json --help' ;;
        'jobsync credentials rotate-key') words='--unbound --json --help' ;;
        'jobsync settings') words='list get set --help' ;;
        'jobsync settings list') words='--json --help' ;;
        'jobsync settings get') words='--json --help' ;;
        'jobsync settings set') words='--json --help' ;;
        'jobsync holds') words='list show approve reject --help' ;;
        'jobsync holds list') words='--all --json --help' ;;
        'jobsync holds show') words='--json --help' ;;
        'jobsync holds approve') words='--json --help' ;;
        'jobsync holds reject') words='--json --help' ;;
        'jobsync stock') words='history changes refused lock unlock exclude include --help' ;;
        'jobsync stock history') words='--stock-number --limit --json --help' ;;
        'jobsync stock changes') words='--run --since --dealership --limit --json --help' ;;
        'jobsync stock refused') words='--limit --json --help' ;;
        'jobsync stock lock') words='--json --help' ;;
        'jobsync stock unlock') words='--json --help' ;;
        'jobsync stock exclude') words='--reason --json --help' ;;
        'jobsync stock include') words='--json --help' ;;
        'jobsync tenant') words='add list show pause resume --help' ;;
        'jobsync tenant add') words='--environment --logo --json --help' ;;
        'jobsync tenant list') words='--json --help' ;;
        'jobsync tenant show') words='--json --help' ;;
        'jobsync tenant pause') words='--json --help' ;;
        'jobsync tenant resume') words='--json --help' ;;
        'jobsync invoice') words='import list show recheck export --help' ;;
        'jobsync invoice import') words='--tenant --dry-run --json --help' ;;
        'jobsync invoice list') words='--status --tenant --limit --json --help' ;;
        'jobsync invoice show') words='--json --help' ;;
        'jobsync invoice recheck') words='--json --help' ;;
        'jobsync invoice export') words='--to --json --help' ;;
        'jobsync sri') words='explain --help' ;;
        'jobsync sri explain') words='--json --help' ;;
        'jobsync ride') words='render --help' ;;
        'jobsync ride render') words='--output -o --logo --attach-xml --json --help' ;;
        'jobsync runs') words='list prune show --help' ;;
        'jobsync runs list') words='--job --status --failed --since --limit --json --help' ;;
        'jobsync runs prune') words='--json --help' ;;
        'jobsync runs show') words='--json --help' ;;
        'jobsync schedule') words='show --help' ;;
        'jobsync schedule show') words='--json --help' ;;
        'jobsync units') words='show install uninstall diff --help' ;;
        'jobsync units show') words='--root --executable --json --help' ;;
        'jobsync units install') words='--enable --root --executable --help' ;;
        'jobsync units uninstall') words='--root --yes --help' ;;
        'jobsync units diff') words='--root --executable --json --help' ;;
        'jobsync cron') words='show run --help' ;;
        'jobsync cron show') words='--executable --help' ;;
        'jobsync cron run') words='--help' ;;
        'jobsync sandbox') words='serve seed documents --help' ;;
        'jobsync sandbox serve') words='--scenario --host --port --help' ;;
        'jobsync sandbox seed') words='--scenario --documents --environment --add --json --help' ;;
        'jobsync sandbox documents') words='--count --seed --environment --rich --json --help' ;;
    esac
    case "${COMP_WORDS[COMP_CWORD - 1]}" in
    --access-key | --concurrency | --count | --days | --dealership | --documents | --email | --environment | --every | --executable | --from | --from-schema | --host | --job | --limit | --logo | --name | --output | --port | --reason | --root | --run | --scenario | --seed | --since | --status | --stock-number | --tenant | --timezone | --to | --unit | --until | --wait | --window | -o) words='' ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}")
}
complete -o default -F _jobsync jobsync
