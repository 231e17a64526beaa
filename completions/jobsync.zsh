#compdef jobsync
# zsh completion for jobsync; generated, starts no program
_jobsync() {
    local at=jobsync word
    local -a found
    for word in ${words[2,CURRENT-1]}; do
        case "$at $word" in
        ('jobsync stock-sync' | 'jobsync check-authorizations' | 'jobsync generate-ride' | 'jobsync logs' | 'jobsync locks' | 'jobsync status' | 'jobsync health' | 'jobsync doctor' | 'jobsync report' | 'jobsync metrics' | 'jobsync alert' | 'jobsync audit' | 'jobsync completion' | 'jobsync man' | 'jobsync demo' | 'jobsync adopt' | 'jobsync db' | 'jobsync db upgrade' | 'jobsync db status' | 'jobsync dealership' | 'jobsync dealership add' | 'jobsync dealership set' | 'jobsync dealership list' | 'jobsync dealership show' | 'jobsync dealership pause' | 'jobsync dealership resume' | 'jobsync dealership schedule' | 'jobsync credentials' | 'jobsync credentials set' | 'jobsync credentials delete' | 'jobsync credentials test' | 'jobsync credentials rotate-key' | 'jobsync settings' | 'jobsync settings list' | 'jobsync settings get' | 'jobsync settings set' | 'jobsync holds' | 'jobsync holds list' | 'jobsync holds show' | 'jobsync holds approve' | 'jobsync holds reject' | 'jobsync stock' | 'jobsync stock history' | 'jobsync stock changes' | 'jobsync stock refused' | 'jobsync stock lock' | 'jobsync stock unlock' | 'jobsync stock exclude' | 'jobsync stock include' | 'jobsync tenant' | 'jobsync tenant add' | 'jobsync tenant list' | 'jobsync tenant show' | 'jobsync tenant pause' | 'jobsync tenant resume' | 'jobsync invoice' | 'jobsync invoice import' | 'jobsync invoice list' | 'jobsync invoice show' | 'jobsync invoice recheck' | 'jobsync invoice export' | 'jobsync sri' | 'jobsync sri explain' | 'jobsync ride' | 'jobsync ride render' | 'jobsync runs' | 'jobsync runs list' | 'jobsync runs prune' | 'jobsync runs show' | 'jobsync schedule' | 'jobsync schedule show' | 'jobsync units' | 'jobsync units show' | 'jobsync units install' | 'jobsync units uninstall' | 'jobsync units diff' | 'jobsync cron' | 'jobsync cron show' | 'jobsync cron run' | 'jobsync sandbox' | 'jobsync sandbox serve' | 'jobsync sandbox seed' | 'jobsync sandbox documents') at="$at $word" ;;
        esac
    done
    case "${words[CURRENT-1]}" in
    (--access-key | --concurrency | --count | --days | --dealership | --documents | --email | --environment | --every | --executable | --from | --from-schema | --host | --job | --limit | --logo | --name | --output | --port | --reason | --root | --run | --scenario | --seed | --since | --status | --stock-number | --tenant | --timezone | --to | --unit | --until | --wait | --window | -o) _files; return ;;
    esac
    case "$at" in
        ('jobsync') found=(
            'stock-sync:Bring each dealership’s EasyCars stock into Postgres. Without options - that of every dealership which is neither paused nor switched off, now.'
            'check-authorizations:Ask the SRI whether documents that wait are authorized. Without options - about every document whose next check is due.'
            'generate-ride:Render the printed form (RIDE, PDF) of authorized documents. Without options - of every one that is due, which means new or to be tried again.'
            'logs:Print what a run said, from the journal; where there is none, say where to look.'
            'locks:Show who holds which lock now.'
            'status:Show every job, dealership and tenant - what is wrong, why, and what to do.'
            'health:Say what needs a person - exit 0 nothing, 3 something, 69 the database does not answer.'
            'doctor:Check configuration, database, key, hosts, files and timers; exit 0 if nothing is wrong.'
            'report:Write one self-contained HTML page - runs, durations, dealerships, the SRI, failures.'
            'metrics:Print metrics in Prometheus’ text format, or write them for node_exporter’s textfile collector.'
            'alert:Tell that a unit failed, after so many failures in a row, once (what OnFailure= starts).'
            'audit:Show what people changed, newest first.'
            'completion:Print the completion script of a shell.'
            'man:Print the manual page - jobsync man | man -l -.'
            'demo:Play two nights of stock sync and a morning of documents, on a private Postgres and two stand-ins.'
            'adopt:Bring the original product’s data - dealerships, credentials, vehicles, documents, logs, settings; ids are kept. It may be repeated - until a dealership’s first sync it brings what has changed there since. Exit 3 - something was left, each with its reason; 1 - an id is here already and was not brought from there, so nothing was. Example - jobsync adopt --from postgresql -//reader@db.example/shop --dry-run'
            'db:The database’s schema.'
            'dealership:Dealerships - whom we sync, and when.'
            'credentials:EasyCars credentials of dealerships.'
            'settings:Settings in the database; an UPDATE in SQL works as well.'
            'holds:What syncs hold back until a person decides.'
            'stock:Vehicles - what changed, what was refused, fields to keep, vehicles to keep off.'
            'tenant:Tenants - taxpayers of Ecuador whose documents are followed.'
            'invoice:Fiscal documents and what the SRI said of them.'
            'sri:The SRI, Ecuador’s tax authority.'
            'ride:The printed form (RIDE) of a document.'
            'runs:Runs of all jobs.'
            'schedule:When each dealership is synced next.'
            'units:The systemd files of this host.'
            'cron:Hosts without systemd.'
            'sandbox:Stand-ins for the outside services.'
            '--version:Print the version.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync stock-sync') found=(
            '--dealership:Only this one, even if paused, or with --scheduled if it is due (repeatable).'
            '--scheduled:Only what is due; what timers pass.'
            '--dry-run:Show what would change; write nothing.'
            '--concurrency:Dealerships at once; default - easycar_sync_concurrency.'
            '--wait:Wait so long for a run that holds the lock.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync check-authorizations') found=(
            '--tenant:Only this tenant’s (repeatable).'
            '--access-key:Only this one, due or not (repeatable).'
            '--scheduled:Only what is due; what timers pass.'
            '--limit:At most so many documents.'
            '--dry-run:Ask the SRI, and write nothing.'
            '--wait:Wait so long for a run that holds the lock.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync generate-ride') found=(
            '--tenant:Only this tenant’s (repeatable).'
            '--access-key:Only this one, due or not (repeatable).'
            '--scheduled:Only what is due; what timers pass.'
            '--force:Render anew what has its file already.'
            '--limit:At most so many documents.'
            '--wait:Wait so long for a run that holds the lock.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync logs') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync locks') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync status') found=(
            '--watch:Show it again and again until interrupted.'
            '--every:With --watch.'
            '--window:How far rates and failures look back, such as 24h or 7d.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync health') found=(
            '--act:Also open, send and close alerts, and delete what is past its retention.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync doctor') found=(
            '--offline:Do not try to reach EasyCars and the SRI.'
            '--all:Check every RIDE file, not only the latest.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync report') found=(
            '-o:The HTML file; - for stdout.'
            '--output:The HTML file; - for stdout.'
            '--days:How far back.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync metrics') found=(
            '-o:Write here, whole or not at all; - or nothing - stdout.'
            '--output:Write here, whole or not at all; - or nothing - stdout.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync alert') found=(
            '--unit:The unit that failed.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync audit') found=(
            '--limit:At most this many.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync completion') found=(
            'bash:'
            'zsh:'
            'fish:'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync man') found=(
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync demo') found=(
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync adopt') found=(
            '--from:The original product’s database, which is only read - postgresql -//…; keep its password in ~/.pgpass.'
            '--from-schema:The schema of its tables.'
            '--dry-run:Say what would be brought, and write nothing.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync db') found=(
            'upgrade:Create or upgrade the tables; safe to run twice, and two at once.'
            'status:Say which schema the database has; exit 78 if it is not this version’s.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync db upgrade') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync db status') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync dealership') found=(
            'add:Add a dealership; prints its number.'
            'set:Change name, time zone, e-mail or the switch of a dealership; the next tick goes by it.'
            'list:List all dealerships.'
            'show:Show one dealership and its last syncs.'
            'pause:Leave a dealership out of every run that does not name it with --dealership.'
            'resume:End a pause.'
            'schedule:Show a dealership’s schedule, or give it one of its own.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync dealership add') found=(
            '--timezone:Its time zone, e.g. Australia/Sydney.'
            '--email:Whom to write to.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync dealership set') found=(
            '--name:Its name.'
            '--timezone:Its time zone; ’’ - easycar_sync_timezone.'
            '--email:Whom to write to; ’’ - nobody.'
            '--auto-sync:Whether runs that do not name it take it.'
            '--no-auto-sync:Whether runs that do not name it take it.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync dealership list') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync dealership show') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync dealership pause') found=(
            '--until:Instant (2026-12-24T18 -00+11 -00), date, or span (12h, 3d).'
            '--reason:Why; schedule show tells it.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync dealership resume') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync dealership schedule') found=(
            '--default:Back to the common schedule.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync credentials') found=(
            'set:Store credentials, replacing all that was there; an omitted yard code clears the old one.'
            'delete:Delete a dealership’s credentials; it is not synced any more.'
            'test:Ask EasyCars whether it takes the client pair and the account pair; nothing is stored.'
            'rotate-key:Encrypt all stored credentials with the current key, all or nothing.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync credentials set') found=(
            '--from-stdin:Read {client_id, client_secret, account_number, account_secret, environment, yard_code?} as JSON; environment is "Test" or "Production", every value a text in quotes.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync credentials delete') found=(
            '--yes:Do not ask; needed without a terminal.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync credentials test') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync credentials rotate-key') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync settings') found=(
            'list:List every setting with its value, default and range.'
            'get:Print one setting.'
            'set:Change one setting; it takes effect at the next tick.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync settings list') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync settings get') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync settings set') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync holds') found=(
            'list:List what waits for a decision, and approvals not yet carried out.'
            'show:Show one hold and its vehicles.'
            'approve:Let it through at the next sync, as far as the feed still says so; until then reject takes it back.'
            'reject:Keep things as they are; nobody is asked again until the set changes, and until then approve takes it back.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync holds list') found=(
            '--all:Decided ones too.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync holds show') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync holds approve') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync holds reject') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync stock') found=(
            'history:Show what changed, newest first - prices, texts, status, removals.'
            'changes:Show what changed at all dealerships, newest first; for example - stock changes --since 12h.'
            'refused:Show items that could not become rows, newest first, with the reason.'
            'lock:Keep fields of a vehicle as they are, whatever the feed says; without a field, show which are kept.'
            'unlock:Give fields back to the feed; the next sync brings its values.'
            'exclude:Keep a vehicle off, whatever the feed says, until it is included; for example - stock exclude 1 A123.'
            'include:Give an excluded vehicle back to the feed; the next sync brings what the feed says of it.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync stock history') found=(
            '--stock-number:Only this vehicle.'
            '--limit:At most this many.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync stock changes') found=(
            '--run:Only what this run changed; its first characters do.'
            '--since:An instant, a date, or a span such as 12h.'
            '--dealership:Only of this dealership.'
            '--limit:At most this many.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync stock refused') found=(
            '--limit:At most this many.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync stock lock') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync stock unlock') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync stock exclude') found=(
            '--reason:Kept in the audit.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync stock include') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync tenant') found=(
            'add:Add a taxpayer whose documents are to be followed.'
            'list:List all tenants with the number of their documents.'
            'show:Show one tenant, its documents by status and the oldest that waits.'
            'pause:Leave a tenant’s documents out of every run that does not name them with --access-key.'
            'resume:End a pause; what is due is asked about at the next tick.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync tenant add') found=(
            '--environment:Where it submits.'
            '--logo:PNG or JPEG, printed on the RIDE.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync tenant list') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync tenant show') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync tenant pause') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync tenant resume') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync invoice') found=(
            'import:Take documents in from XML files - bare, or inside what the SRI answered. Each belongs to the tenant that its key names. Running it twice changes nothing.'
            'list:List documents, newest first.'
            'show:Show one document and its story - each ask and each answer.'
            'recheck:Make a document pending and due at once - the next tick asks the SRI. For a document that was corrected, submitted again, or settled with the SRI.'
            'export:Write the XML that is kept of a document, and the SRI’s answer byte for byte, into a folder.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync invoice import') found=(
            '--tenant:Take only this tenant’s; refuse others.'
            '--dry-run:Say what would become of each file, and write nothing.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync invoice list') found=(
            '--status:pending_authorization, authorized, rejected, needs_attention or cancelled.'
            '--tenant:Only this tenant’s.'
            '--limit:At most so many documents.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync invoice show') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync invoice recheck') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync invoice export') found=(
            '--to:An existing folder.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync sri') found=(
            'explain:Say what a code of the SRI, or a word beside a document, means and what to do about it.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync sri explain') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync ride') found=(
            'render:Print a document as PDF. Without an authorization in the file every page says so.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync ride render') found=(
            '--output:Where the PDF goes.'
            '-o:Where the PDF goes.'
            '--logo:A PNG or JPEG to stand above the issuer.'
            '--attach-xml:Carry FILE.xml inside the PDF.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync runs') found=(
            'list:List the latest runs, newest first.'
            'prune:Delete what is past its retention now; the health timer does the same, bit by bit.'
            'show:Show one run with its items.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync runs list') found=(
            '--job:Only runs of this job.'
            '--status:Only runs that ended so (repeatable).'
            '--failed:Only runs that failed, crashed or needed attention.'
            '--since:An instant, a date, or a span such as 12h.'
            '--limit:At most so many.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync runs prune') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync runs show') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync schedule') found=(
            'show:Show each dealership’s next slot, in its own time zone, and what keeps it from running.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync schedule show') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync units') found=(
            'show:Print the files that install would write.'
            'install:Write the files that differ, create user and folders, reload systemd.'
            'uninstall:Disable the timers and remove the files; user, state, configuration and secrets stay.'
            'diff:Show what install would change; exit 1 if that is anything.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync units show') found=(
            '--root:Below this folder instead of the running system.'
            '--executable:The jobsync that timers start; default - this one.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync units install') found=(
            '--enable:Enable the timers and start them.'
            '--root:Below this folder instead of the running system.'
            '--executable:The jobsync that timers start; default - this one.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync units uninstall') found=(
            '--root:Below this folder instead of the running system.'
            '--yes:Do not ask; needed without a terminal.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync units diff') found=(
            '--root:Below this folder instead of the running system.'
            '--executable:The jobsync that timers start; default - this one.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync cron') found=(
            'show:Print the text of /etc/cron.d/jobsync.'
            'run:Do one tick of a job as cron wants it - silent when all is well, one report when not.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync cron show') found=(
            '--executable:The jobsync that cron starts; default - this one.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync cron run') found=(
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync sandbox') found=(
            'serve:Serve the stand-ins until SIGTERM or Ctrl-C; prints the variables that lead there.'
            'seed:Fill a test database with the dealerships, tenants and documents that `sandbox serve` knows; all or nothing. A database that holds dealerships or tenants is refused.'
            'documents:Invent fiscal documents of taxpayers that do not exist, a file each, all six kinds in turn.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync sandbox serve') found=(
            '--scenario:TOML or JSON; default - six dealerships, and an SRI that answers.'
            '--host:Listen here.'
            '--port:0 - any free one.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync sandbox seed') found=(
            '--scenario:TOML or JSON; default - six dealerships, and an SRI that answers.'
            '--documents:How many.'
            '--environment:test or production.'
            '--add:Also where dealerships or tenants are already; what is there stays.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync sandbox documents') found=(
            '--count:How many.'
            '--seed:Other documents for another seed.'
            '--environment:test or production.'
            '--rich:Up to 20 lines, and what else documents can have.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
    esac
    _describe 'jobsync' found || _files
}
if [[ $funcstack[1] == _jobsync ]]; then
    _jobsync "$@"
else
    compdef _jobsync jobsync
fi
