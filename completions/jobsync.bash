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
        'jobsync stock-sync' | 'jobsync check-authorizations' | 'jobsync generate-ride' | 'jobsync status' | 'jobsync health' | 'jobsync doctor' | 'jobsync runs' | 'jobsync runs list' | 'jobsync runs prune' | 'jobsync runs show' | 'jobsync runs retry' | 'jobsync logs' | 'jobsync locks' | 'jobsync schedule' | 'jobsync schedule show' | 'jobsync audit' | 'jobsync report' | 'jobsync metrics' | 'jobsync alerts' | 'jobsync alerts list' | 'jobsync alerts test' | 'jobsync alerts silence' | 'jobsync alerts unsilence' | 'jobsync alert' | 'jobsync dealership' | 'jobsync dealership add' | 'jobsync dealership set' | 'jobsync dealership list' | 'jobsync dealership show' | 'jobsync dealership pause' | 'jobsync dealership resume' | 'jobsync dealership schedule' | 'jobsync credentials' | 'jobsync credentials set' | 'jobsync credentials delete' | 'jobsync credentials test' | 'jobsync credentials rotate-key' | 'jobsync holds' | 'jobsync holds list' | 'jobsync holds show' | 'jobsync holds approve' | 'jobsync holds reject' | 'jobsync stock' | 'jobsync stock history' | 'jobsync stock changes' | 'jobsync stock refused' | 'jobsync stock lock' | 'jobsync stock unlock' | 'jobsync stock exclude' | 'jobsync stock include' | 'jobsync tenant' | 'jobsync tenant add' | 'jobsync tenant list' | 'jobsync tenant show' | 'jobsync tenant pause' | 'jobsync tenant resume' | 'jobsync invoice' | 'jobsync invoice import' | 'jobsync invoice list' | 'jobsync invoice show' | 'jobsync invoice recheck' | 'jobsync invoice export' | 'jobsync sri' | 'jobsync sri explain' | 'jobsync ride' | 'jobsync ride render' | 'jobsync storage' | 'jobsync storage claim' | 'jobsync settings' | 'jobsync settings list' | 'jobsync settings get' | 'jobsync settings set' | 'jobsync db' | 'jobsync db upgrade' | 'jobsync db status' | 'jobsync adopt' | 'jobsync units' | 'jobsync units show' | 'jobsync units install' | 'jobsync units uninstall' | 'jobsync units diff' | 'jobsync cron' | 'jobsync cron show' | 'jobsync cron run' | 'jobsync demo' | 'jobsync sandbox' | 'jobsync sandbox serve' | 'jobsync sandbox seed' | 'jobsync sandbox documents' | 'jobsync completion' | 'jobsync man')
            at="$at $word"
            continue
            ;;
        esac
        case "$word" in
        --access-key | --concurrency | --count | --days | --dealership | --documents | --email | --environment | --every | --executable | --from | --from-schema | --host | --job | --limit | --logo | --name | --output | --port | --reason | --root | --run | --scenario | --seed | --since | --status | --stock-number | --subject | --tenant | --timezone | --to | --unit | --until | --wait | --window | -o) skip=1 ;;
        -*) ;;
        *) n=$((n + 1)) ;;
        esac
    done
    case "$at" in
        'jobsync') words='stock-sync check-authorizations generate-ride status health doctor runs logs locks schedule audit report metrics alerts alert dealership credentials holds stock tenant invoice sri ride storage settings db adopt units cron demo sandbox completion man --version -V --quiet -q --verbose -v --help' ;;
        'jobsync stock-sync') words='--dealership --scheduled --dry-run --concurrency --wait --json --help' ;;
        'jobsync check-authorizations') words='--tenant --access-key --scheduled --limit --dry-run --wait --json --help' ;;
        'jobsync generate-ride') words='--tenant --access-key --scheduled --force --missing --limit --wait --json --help' ;;
        'jobsync status') words='--watch --every --window --json --help' ;;
        'jobsync health') words='--act --json --help' ;;
        'jobsync doctor') words='--offline --all --json --help' ;;
        'jobsync runs') words='list prune show retry --help' ;;
        'jobsync runs list') words='--job --status --failed --since --limit --json --help' ;;
        'jobsync runs prune') words='--dry-run --json --help' ;;
        'jobsync runs show') words='--json --help' ;;
        'jobsync runs retry') words='--wait --json --help' ;;
        'jobsync logs') words='--json --help' ;;
        'jobsync locks') words='--json --help' ;;
        'jobsync schedule') words='show --help' ;;
        'jobsync schedule show') words='--json --help' ;;
        'jobsync audit') words='--limit --json --help' ;;
        'jobsync report') words='-o --output --days --dealership --tenant --json --help' ;;
        'jobsync metrics') words='-o --output --json --help' ;;
        'jobsync alerts') words='list test silence unsilence --help' ;;
        'jobsync alerts list') words='--json --help' ;;
        'jobsync alerts test') words='--json --help' ;;
        'jobsync alerts silence') words='--until --subject --all-causes --json --help' ;;
        'jobsync alerts unsilence') words='--subject --json --help' ;;
        'jobsync alert') words='--unit --json --help' ;;
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
        'jobsync storage') words='claim --help' ;;
        'jobsync storage claim') words='--yes --json --help' ;;
        'jobsync settings') words='list get set --help' ;;
        'jobsync settings list') words='--json --help' ;;
        'jobsync settings get') words='--json --help' ;;
        'jobsync settings set') words='--json --help' ;;
        'jobsync db') words='upgrade status --help' ;;
        'jobsync db upgrade') words='--json --help' ;;
        'jobsync db status') words='--json --help' ;;
        'jobsync adopt') words='--from --from-schema --dry-run --json --help' ;;
        'jobsync units') words='show install uninstall diff --help' ;;
        'jobsync units show') words='--root --executable --json --help' ;;
        'jobsync units install') words='--enable --root --executable --help' ;;
        'jobsync units uninstall') words='--root --yes --help' ;;
        'jobsync units diff') words='--root --executable --json --help' ;;
        'jobsync cron') words='show run --help' ;;
        'jobsync cron show') words='--executable --help' ;;
        'jobsync cron run') words='--help' ;;
        'jobsync demo') words='--help' ;;
        'jobsync sandbox') words='serve seed documents --help' ;;
        'jobsync sandbox serve') words='--scenario --host --port --help' ;;
        'jobsync sandbox seed') words='--scenario --documents --environment --add --json --help' ;;
        'jobsync sandbox documents') words='--count --seed --environment --rich --json --help' ;;
        'jobsync completion') words='--help' ;;
        'jobsync man') words='--help' ;;
    esac
    options=$words words=''
    if [[ -n $skip ]]; then
        options=''
    else
        before=$n
    fi
    case "$at $before" in
        'jobsync stock-sync '--dealership) words='' asked='dealership' ;;
        'jobsync check-authorizations '--tenant) words='' asked='tenant' ;;
        'jobsync generate-ride '--tenant) words='' asked='tenant' ;;
        'jobsync runs list '--job) words='stock-sync check-authorizations generate-ride' asked='' ;;
        'jobsync runs list '--status) words='running succeeded partial held failed cancelled timed_out lock_lost crashed' asked='' ;;
        'jobsync runs show '0) words='' asked='run' ;;
        'jobsync runs retry '0) words='' asked='run' ;;
        'jobsync logs '0) words='' asked='run' ;;
        'jobsync report '--dealership) words='' asked='dealership' ;;
        'jobsync report '--tenant) words='' asked='tenant' ;;
        'jobsync alerts silence '--subject) words='' asked='subject' ;;
        'jobsync alerts silence '0) words='configuration database unit tick skips duration failures credentials silence held circuit queue storage ride documents settings prune mail' asked='' ;;
        'jobsync alerts silence '1) words='' asked='subject' ;;
        'jobsync alerts unsilence '--subject) words='' asked='subject' ;;
        'jobsync alerts unsilence '0) words='configuration database unit tick skips duration failures credentials silence held circuit queue storage ride documents settings prune mail' asked='' ;;
        'jobsync alerts unsilence '1) words='' asked='subject' ;;
        'jobsync dealership set '0) words='' asked='dealership' ;;
        'jobsync dealership show '0) words='' asked='dealership' ;;
        'jobsync dealership pause '0) words='' asked='dealership' ;;
        'jobsync dealership resume '0) words='' asked='dealership' ;;
        'jobsync dealership schedule '0) words='' asked='dealership' ;;
        'jobsync credentials set '0) words='' asked='dealership' ;;
        'jobsync credentials delete '0) words='' asked='dealership' ;;
        'jobsync credentials test '0) words='' asked='dealership' ;;
        'jobsync holds show '0) words='' asked='hold' ;;
        'jobsync holds approve '0) words='' asked='hold' ;;
        'jobsync holds reject '0) words='' asked='hold' ;;
        'jobsync stock history '0) words='' asked='dealership' ;;
        'jobsync stock changes '--run) words='' asked='run' ;;
        'jobsync stock changes '--dealership) words='' asked='dealership' ;;
        'jobsync stock refused '0) words='' asked='dealership' ;;
        'jobsync stock lock '0) words='' asked='dealership' ;;
        'jobsync stock lock '[2-9]) words='vin make model badge series year body colour interior_colour price special_price is_drive_away odometer odometer_unit condition stock_type stock_status status title description short_description registration registration_state fuel_type transmission drive_train engine_capacity doors seats yard_code video_link features images' asked='' ;;
        'jobsync stock unlock '0) words='' asked='dealership' ;;
        'jobsync stock unlock '[2-9]) words='vin make model badge series year body colour interior_colour price special_price is_drive_away odometer odometer_unit condition stock_type stock_status status title description short_description registration registration_state fuel_type transmission drive_train engine_capacity doors seats yard_code video_link features images' asked='' ;;
        'jobsync stock exclude '0) words='' asked='dealership' ;;
        'jobsync stock include '0) words='' asked='dealership' ;;
        'jobsync tenant add '--environment) words='test production' asked='' ;;
        'jobsync tenant show '0) words='' asked='tenant' ;;
        'jobsync tenant pause '0) words='' asked='tenant' ;;
        'jobsync tenant resume '0) words='' asked='tenant' ;;
        'jobsync invoice import '--tenant) words='' asked='tenant' ;;
        'jobsync invoice list '--status) words='pending_authorization authorized rejected needs_attention cancelled' asked='' ;;
        'jobsync invoice list '--tenant) words='' asked='tenant' ;;
        'jobsync settings get '0) words='easycar_sync_enabled easycar_sync_cron easycar_sync_timezone easycar_sync_concurrency easycar_retry_minutes easycar_status_map easycar_removal_limit_percent easycar_removal_limit_floor easycar_removal_grace_days sri_check_enabled sri_check_interval_s sri_call_delay_ms sri_check_concurrency ride_enabled ride_interval_s ride_delay_ms ride_attach_xml alert_after_failures alert_run_minutes alert_queue_length alert_silence_hours alert_reminder_hours runs_retention_days items_retention_days events_retention_days' asked='' ;;
        'jobsync settings set '0) words='easycar_sync_enabled easycar_sync_cron easycar_sync_timezone easycar_sync_concurrency easycar_retry_minutes easycar_status_map easycar_removal_limit_percent easycar_removal_limit_floor easycar_removal_grace_days sri_check_enabled sri_check_interval_s sri_call_delay_ms sri_check_concurrency ride_enabled ride_interval_s ride_delay_ms ride_attach_xml alert_after_failures alert_run_minutes alert_queue_length alert_silence_hours alert_reminder_hours runs_retention_days items_retention_days events_retention_days' asked='' ;;
        'jobsync units show '0) words='jobsync-alert@.service jobsync-check-authorizations.service jobsync-check-authorizations.timer jobsync-generate-ride.service jobsync-generate-ride.timer jobsync-health.service jobsync-health.timer jobsync-metrics.service jobsync-metrics.timer jobsync-now@.service jobsync-report.service jobsync-report.timer jobsync-stock-sync.service jobsync-stock-sync.timer' asked='' ;;
        'jobsync cron run '0) words='stock-sync check-authorizations generate-ride' asked='' ;;
        'jobsync completion '0) words='bash zsh fish' asked='' ;;
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
