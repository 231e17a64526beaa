#compdef jobsync
# zsh completion for jobsync; generated, and asks jobsync itself for what only the database knows
_jobsync() {
    local at=jobsync word asked='' skip='' before=${words[CURRENT-1]}
    local -i n=0
    local -a found choices values
    for word in ${words[2,CURRENT-1]}; do
        if [[ -n $skip ]]; then
            skip=''
            continue
        fi
        case "$at $word" in
        ('jobsync stock-sync' | 'jobsync check-authorizations' | 'jobsync generate-ride' | 'jobsync status' | 'jobsync health' | 'jobsync doctor' | 'jobsync runs' | 'jobsync runs list' | 'jobsync runs prune' | 'jobsync runs show' | 'jobsync runs retry' | 'jobsync logs' | 'jobsync locks' | 'jobsync schedule' | 'jobsync schedule show' | 'jobsync audit' | 'jobsync report' | 'jobsync metrics' | 'jobsync alerts' | 'jobsync alerts list' | 'jobsync alerts test' | 'jobsync alerts silence' | 'jobsync alerts unsilence' | 'jobsync alert' | 'jobsync dealership' | 'jobsync dealership add' | 'jobsync dealership set' | 'jobsync dealership list' | 'jobsync dealership show' | 'jobsync dealership pause' | 'jobsync dealership resume' | 'jobsync dealership schedule' | 'jobsync credentials' | 'jobsync credentials set' | 'jobsync credentials delete' | 'jobsync credentials test' | 'jobsync credentials rotate-key' | 'jobsync holds' | 'jobsync holds list' | 'jobsync holds show' | 'jobsync holds approve' | 'jobsync holds reject' | 'jobsync stock' | 'jobsync stock history' | 'jobsync stock changes' | 'jobsync stock refused' | 'jobsync stock lock' | 'jobsync stock unlock' | 'jobsync stock exclude' | 'jobsync stock include' | 'jobsync tenant' | 'jobsync tenant add' | 'jobsync tenant list' | 'jobsync tenant show' | 'jobsync tenant pause' | 'jobsync tenant resume' | 'jobsync invoice' | 'jobsync invoice import' | 'jobsync invoice list' | 'jobsync invoice show' | 'jobsync invoice recheck' | 'jobsync invoice export' | 'jobsync sri' | 'jobsync sri explain' | 'jobsync ride' | 'jobsync ride render' | 'jobsync storage' | 'jobsync storage claim' | 'jobsync settings' | 'jobsync settings list' | 'jobsync settings get' | 'jobsync settings set' | 'jobsync db' | 'jobsync db upgrade' | 'jobsync db status' | 'jobsync adopt' | 'jobsync units' | 'jobsync units show' | 'jobsync units install' | 'jobsync units uninstall' | 'jobsync units diff' | 'jobsync cron' | 'jobsync cron show' | 'jobsync cron run' | 'jobsync demo' | 'jobsync sandbox' | 'jobsync sandbox serve' | 'jobsync sandbox seed' | 'jobsync sandbox documents' | 'jobsync completion' | 'jobsync man')
            at="$at $word"
            continue
            ;;
        esac
        case "$word" in
        (--access-key | --concurrency | --count | --days | --dealership | --documents | --email | --environment | --every | --executable | --from | --from-schema | --host | --job | --limit | --logo | --name | --output | --port | --reason | --root | --run | --scenario | --seed | --since | --status | --stock-number | --subject | --tenant | --timezone | --to | --unit | --until | --wait | --window | -o) skip=1 ;;
        (-*) ;;
        (*) n=n+1 ;;
        esac
    done
    case "$at" in
        ('jobsync') found=(
            'stock-sync:Bring dealerships’ EasyCars stock into Postgres. Without options - that of every dealership which is neither paused nor switched off, now.'
            'check-authorizations:Ask the SRI whether documents are authorized. Without options - about every document whose next check is due.'
            'generate-ride:Render the RIDE (PDF) of authorized documents. Without options - of every one that is due, which means new or to be tried again.'
            'status:Show what is wrong, why, and what to do. Every job, dealership and tenant is in it.'
            'health:Say what needs a person - exit 0 nothing, 3 something, 69 the database does not answer.'
            'doctor:Check settings, database, key, hosts, files, timers. Exit 0 if nothing is wrong.'
            'runs:Runs of all jobs.'
            'logs:Print what a run said. It is read from the journal, also while the database is away; where there is none, the answer says where to look.'
            'locks:Show who holds which lock now.'
            'schedule:When each dealership is synced next.'
            'audit:Show what people changed, newest first.'
            'report:Write one self-contained HTML page. What is wrong, runs with their items, failures, who was told.'
            'metrics:Print metrics in Prometheus’ text format. With -o for node_exporter’s textfile collector.'
            'alerts:What is wrong, who was told of it, and what is not to be told for a while.'
            'alert:Find out why a unit failed, and tell it once, where no retry mends it or after so many (OnFailure= starts it).'
            'dealership:Dealerships - whom we sync, and when.'
            'credentials:EasyCars credentials of dealerships.'
            'holds:What syncs hold back until a person decides.'
            'stock:Vehicles - changes, refusals, fields and cars to keep.'
            'tenant:Taxpayers of Ecuador whose documents are followed.'
            'invoice:Fiscal documents and what the SRI said of them.'
            'sri:The SRI, Ecuador’s tax authority.'
            'ride:The printed form (RIDE) of a document.'
            'storage:The folder of RIDE files, and whose files they are.'
            'settings:Settings in the database. An UPDATE in SQL works too.'
            'db:The database’s schema.'
            'adopt:Bring in the data of the original product. Dealerships, credentials, vehicles, documents, logs, settings; ids are kept. It may be repeated - until a dealership’s first sync it brings what has changed there since. Exit 3 - something was left, each with its reason; 1 - an id is here already and was not brought from there, so nothing was.'
            'units:The systemd files of this host.'
            'cron:Hosts without systemd.'
            'demo:Play two nights and a morning against stand-ins. A private Postgres is started for it and stopped.'
            'sandbox:Stand-ins for the outside services.'
            'completion:Print the completion script of a shell.'
            'man:Print the manual page - jobsync man | man -l -.'
            '--version:Print the version.'
            '-V:Print the version.'
            '--quiet:Less log, as JOBSYNC_LOG_LEVEL=warning.'
            '-q:Less log, as JOBSYNC_LOG_LEVEL=warning.'
            '--verbose:More log, as JOBSYNC_LOG_LEVEL=debug.'
            '-v:More log, as JOBSYNC_LOG_LEVEL=debug.'
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
            '--missing:Render again those whose file is missing or altered.'
            '--limit:At most so many documents.'
            '--wait:Wait so long for a run that holds the lock.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync status') found=(
            '--watch:Show it again and again until interrupted.'
            '--every:With --watch.'
            '--window:How far rates and failures look back, such as 24h or 1d12h.'
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
        ('jobsync runs') found=(
            'list:List the latest runs, newest first.'
            'prune:Delete what is past its retention now; the health timer does the same, bit by bit. After Ctrl-C it says how much went; the rest goes next time.'
            'show:Show one run with its items.'
            'retry:Run again, by hand and at once, exactly the items of a run that failed. Exit codes are those of the job. 0 where nothing failed; 75 while the run is still at work.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync runs list') found=(
            '--job:Only runs of this job.'
            '--status:Only runs that ended so (repeatable).'
            '--failed:Only runs that failed, crashed or needed attention.'
            '--since:An instant, a date, or a span such as 12h or 1d6h.'
            '--limit:At most so many.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync runs prune') found=(
            '--dry-run:Count what would go, by table, and write nothing.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync runs show') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync runs retry') found=(
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
        ('jobsync schedule') found=(
            'show:Show each dealership’s next slot, in its own time zone, and what keeps it from running.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync schedule show') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync audit') found=(
            '--limit:At most this many.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync report') found=(
            '-o:The HTML file; - for stdout.'
            '--output:The HTML file; - for stdout.'
            '--days:How far back.'
            '--dealership:Of this one alone.'
            '--tenant:Of this one alone.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync metrics') found=(
            '-o:Write here, whole or not at all; - or nothing - stdout.'
            '--output:Write here, whole or not at all; - or nothing - stdout.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync alerts') found=(
            'list:List open alerts, and those that ended within the last seven days - since when, why, who was told, what to do.'
            'test:Send a message to every channel, and say what each answered - exit 0 all took it, 1 not all, 78 none is set.'
            'silence:Tell nobody of what is open now until an instant; what is still open then is told.'
            'unsilence:Let people be told again; what is open is told at the next look.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync alerts list') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync alerts test') found=(
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync alerts silence') found=(
            '--until:8h, 3d, mon 08 -00 or 2026-12-24T18 -00Z.'
            '--subject:Without KIND - every kind.'
            '--all-causes:New ones too, not only those open now.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync alerts unsilence') found=(
            '--subject:Without KIND - every kind.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync alert') found=(
            '--unit:The unit that failed.'
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
            '--until:Instant (2026-12-24T18 -00+11 -00), date, or span (12h, 1d6h, 2w).'
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
            'rotate-key:Encrypt all stored credentials with the current key, each bound to its dealership and field, all or nothing. With the key left as it is, it binds those that are not bound yet.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync credentials set') found=(
            '--from-stdin:Read {client_id, client_secret, account_number, account_secret, environment, yard_code?} as JSON; environment is "Test" or "Production", every value a text in quotes.'
            '--key-lost:Store them though the key decrypts no other dealership’s - theirs is lost.'
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
            '--unbound:In the layout of the program that jobsync replaces, for the way back to it.'
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
            '--since:An instant, a date, or a span such as 12h or 1d6h.'
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
            'import:Take documents in from XML files - bare, or inside what the SRI answered. Each belongs to the tenant that its key names. Running it twice changes nothing. After Ctrl-C it says what went in.'
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
        ('jobsync storage') found=(
            'claim:Mark the storage as this database’s - a new one, or one that was restored without its marker. generate-ride marks a storage by itself as long as no row names a file. Asks where another database has marked it.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync storage claim') found=(
            '--yes:Do not ask; needed without a terminal.'
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
        ('jobsync adopt') found=(
            '--from:The original product’s database, which is only read - postgresql -//…; keep its password in ~/.pgpass.'
            '--from-schema:The schema of its tables.'
            '--dry-run:Say what would be brought, and write nothing.'
            '--json:One JSON document on standard output.'
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync units') found=(
            'show:Print the files that install would write.'
            'install:Write the files that differ, remove what is configured no more, create user and folders, reload systemd.'
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
        ('jobsync demo') found=(
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
        ('jobsync completion') found=(
            '--help:Show this message and exit.'
        ) ;;
        ('jobsync man') found=(
            '--help:Show this message and exit.'
        ) ;;
    esac
    [[ -n $skip ]] && found=() || before=$n
    case "$at $before" in
        ('jobsync stock-sync '--dealership) asked='dealership' choices=() ;;
        ('jobsync check-authorizations '--tenant) asked='tenant' choices=() ;;
        ('jobsync generate-ride '--tenant) asked='tenant' choices=() ;;
        ('jobsync runs list '--job) asked='' choices=(stock-sync check-authorizations generate-ride) ;;
        ('jobsync runs list '--status) asked='' choices=(running succeeded partial held failed cancelled timed_out lock_lost crashed) ;;
        ('jobsync runs show '0) asked='run' choices=() ;;
        ('jobsync runs retry '0) asked='run' choices=() ;;
        ('jobsync logs '0) asked='run' choices=() ;;
        ('jobsync report '--dealership) asked='dealership' choices=() ;;
        ('jobsync report '--tenant) asked='tenant' choices=() ;;
        ('jobsync alerts silence '--subject) asked='subject' choices=() ;;
        ('jobsync alerts silence '0) asked='' choices=(configuration database unit tick skips duration failures credentials silence held circuit queue storage ride documents settings prune mail) ;;
        ('jobsync alerts silence '1) asked='subject' choices=() ;;
        ('jobsync alerts unsilence '--subject) asked='subject' choices=() ;;
        ('jobsync alerts unsilence '0) asked='' choices=(configuration database unit tick skips duration failures credentials silence held circuit queue storage ride documents settings prune mail) ;;
        ('jobsync alerts unsilence '1) asked='subject' choices=() ;;
        ('jobsync dealership set '0) asked='dealership' choices=() ;;
        ('jobsync dealership show '0) asked='dealership' choices=() ;;
        ('jobsync dealership pause '0) asked='dealership' choices=() ;;
        ('jobsync dealership resume '0) asked='dealership' choices=() ;;
        ('jobsync dealership schedule '0) asked='dealership' choices=() ;;
        ('jobsync credentials set '0) asked='dealership' choices=() ;;
        ('jobsync credentials delete '0) asked='dealership' choices=() ;;
        ('jobsync credentials test '0) asked='dealership' choices=() ;;
        ('jobsync holds show '0) asked='hold' choices=() ;;
        ('jobsync holds approve '0) asked='hold' choices=() ;;
        ('jobsync holds reject '0) asked='hold' choices=() ;;
        ('jobsync stock history '0) asked='dealership' choices=() ;;
        ('jobsync stock changes '--run) asked='run' choices=() ;;
        ('jobsync stock changes '--dealership) asked='dealership' choices=() ;;
        ('jobsync stock refused '0) asked='dealership' choices=() ;;
        ('jobsync stock lock '0) asked='dealership' choices=() ;;
        ('jobsync stock lock '[2-9]) asked='' choices=(vin make model badge series year body colour interior_colour price special_price is_drive_away odometer odometer_unit condition stock_type stock_status status title description short_description registration registration_state fuel_type transmission drive_train engine_capacity doors seats yard_code video_link features images) ;;
        ('jobsync stock unlock '0) asked='dealership' choices=() ;;
        ('jobsync stock unlock '[2-9]) asked='' choices=(vin make model badge series year body colour interior_colour price special_price is_drive_away odometer odometer_unit condition stock_type stock_status status title description short_description registration registration_state fuel_type transmission drive_train engine_capacity doors seats yard_code video_link features images) ;;
        ('jobsync stock exclude '0) asked='dealership' choices=() ;;
        ('jobsync stock include '0) asked='dealership' choices=() ;;
        ('jobsync tenant add '--environment) asked='' choices=(test production) ;;
        ('jobsync tenant show '0) asked='tenant' choices=() ;;
        ('jobsync tenant pause '0) asked='tenant' choices=() ;;
        ('jobsync tenant resume '0) asked='tenant' choices=() ;;
        ('jobsync invoice import '--tenant) asked='tenant' choices=() ;;
        ('jobsync invoice list '--status) asked='' choices=(pending_authorization authorized rejected needs_attention cancelled) ;;
        ('jobsync invoice list '--tenant) asked='tenant' choices=() ;;
        ('jobsync settings get '0) asked='' choices=(easycar_sync_enabled easycar_sync_cron easycar_sync_timezone easycar_sync_concurrency easycar_retry_minutes easycar_status_map easycar_removal_limit_percent easycar_removal_limit_floor easycar_removal_grace_days sri_check_enabled sri_check_interval_s sri_call_delay_ms sri_check_concurrency ride_enabled ride_interval_s ride_delay_ms ride_attach_xml alert_after_failures alert_run_minutes alert_queue_length alert_silence_hours alert_reminder_hours runs_retention_days items_retention_days events_retention_days) ;;
        ('jobsync settings set '0) asked='' choices=(easycar_sync_enabled easycar_sync_cron easycar_sync_timezone easycar_sync_concurrency easycar_retry_minutes easycar_status_map easycar_removal_limit_percent easycar_removal_limit_floor easycar_removal_grace_days sri_check_enabled sri_check_interval_s sri_call_delay_ms sri_check_concurrency ride_enabled ride_interval_s ride_delay_ms ride_attach_xml alert_after_failures alert_run_minutes alert_queue_length alert_silence_hours alert_reminder_hours runs_retention_days items_retention_days events_retention_days) ;;
        ('jobsync units show '0) asked='' choices=(jobsync-alert@.service jobsync-check-authorizations.service jobsync-check-authorizations.timer jobsync-generate-ride.service jobsync-generate-ride.timer jobsync-health.service jobsync-health.timer jobsync-metrics.service jobsync-metrics.timer jobsync-now@.service jobsync-report.service jobsync-report.timer jobsync-stock-sync.service jobsync-stock-sync.timer) ;;
        ('jobsync cron run '0) asked='' choices=(stock-sync check-authorizations generate-ride) ;;
        ('jobsync completion '0) asked='' choices=(bash zsh fish) ;;
    esac
    if [[ -n $asked && ${words[CURRENT]} != -* ]]; then
        for word in "${(@f)$(jobsync values $asked 2>/dev/null </dev/null)}"; do
            [[ -n $word ]] && values+=("${word%%$'\t'*}:${word#*$'\t'}")
        done
    fi
    if (( $#values )); then
        _describe "$asked" values
    else
        found+=($choices)
        _describe 'jobsync' found || _files
    fi
}
if [[ $funcstack[1] == _jobsync ]]; then
    _jobsync "$@"
else
    compdef _jobsync jobsync
fi
