"""What jobsync's own words about a document mean, its states and the reasons beside them: for `jobsync sri explain`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Word(NamedTuple):
    """A word that lists show; `advice` names what to do, or that there is nothing to do."""

    meaning: str
    advice: str


_WAIT = (
    "Nothing: it is asked for again by itself, ever more rarely. At once: jobsync check-authorizations --access-key KEY"
)
_AGAIN = "Nothing: it says nothing about the document, which is asked for again by itself."
_CONNECTION = _AGAIN + " If it lasts: jobsync doctor"
_WRONG_KEY = "Nobody was asked. Correct the key in the document's row, then: jobsync invoice recheck KEY"
_STORY = "Its story, with the SRI's own words: jobsync invoice show KEY"
_LASTING = f"After 24 hours of such answers it needs attention. {_STORY}"
_PRINT = "jobsync generate-ride --access-key KEY --force"

WORDS: Mapping[str, Word] = {
    # states
    "pending_authorization": Word("The SRI has not decided about the document yet, or was not asked yet.", _WAIT),
    "pending": Word("The SRI was asked and has not decided yet.", _WAIT),
    "authorized": Word("The SRI has authorized the document; that is final.", "Nothing: it is printed by itself."),
    "rejected": Word(
        "The SRI has refused the document.",
        f"{_STORY}. Correct it, send it again with the same key, then: jobsync invoice recheck KEY",
    ),
    "needs_attention": Word(
        "A person has to act. Unless its key is wrong it is still asked about, every 6 hours for 30 days.",
        f"{_STORY}. When it is settled: jobsync invoice recheck KEY",
    ),
    "cancelled": Word("The document was cancelled here; nobody asks about it any more.", "Nothing."),
    "fault": Word("The SRI gave no usable answer.", _CONNECTION),
    # why it waits
    "in_process": Word("The SRI has the document and is still at work on it.", _WAIT),
    "received": Word("The SRI has received the document and not decided yet.", _WAIT),
    "empty": Word(
        "The SRI has nothing to tell of this key: it is not processed yet, or was never received.",
        "Wait. After 24 hours of such answers it needs attention: submit the document again, with the same key. If the"
        " silence goes on, look for line breaks inside the document's texts: they can be its cause.",
    ),
    "earlier_refusal": Word(
        "The SRI still shows the refusal of the submission before; it does not count for the corrected document.",
        _WAIT,
    ),
    "already_decided": Word("The SRI's decision is known and final: it was not asked again.", _STORY),
    "annulled": Word(
        "The SRI says that the document is annulled, or is to be.",
        "Ask the issuer. If it is right, the status in the document's row becomes cancelled; if not, once the SRI has"
        " corrected it: jobsync invoice recheck KEY",
    ),
    # why it was refused; the second meaning is a connection's
    "refused": Word(
        "Of a rejected document: the SRI refused it without saying why. Of a fault: nobody took the connection.",
        "Rejected: look the key up in the SRI's portal, correct the document, send it again with the same key."
        " Fault: it is asked for again by itself; if it lasts: jobsync doctor",
    ),
    # why there was no usable answer
    "tls": Word(
        "No secure connection to the SRI: its certificate cannot be trusted, or the host's clock is wrong.", _CONNECTION
    ),
    "timeout": Word("The SRI did not answer in time.", _CONNECTION),
    "broken": Word("The SRI's answer was cut off.", _CONNECTION),
    "too_large": Word("The SRI's answer was larger than any that makes sense.", _CONNECTION),
    "address": Word(
        "The SRI's address is none that can be asked.", "Correct JOBSYNC_SRI_URL; jobsync doctor checks it."
    ),
    "proxy": Word(
        "The proxy on the way to the SRI refused, or did not answer.",
        "See to the proxy, or correct JOBSYNC_PROXY (or HTTPS_PROXY); jobsync doctor names it. It is asked again by"
        " itself.",
    ),
    "http_status": Word("The SRI's server answered with an error.", _CONNECTION),
    "firewall": Word("A firewall or maintenance page answered instead of the SRI.", _CONNECTION),
    "soap_server": Word("The SRI's service answered that it has a fault of its own.", _CONNECTION),
    "soap_client": Word("The SRI blames our request.", "This is a fault of jobsync, or of JOBSYNC_SRI_URL: report it."),
    "other_key": Word("The SRI answered about another document than was asked for.", f"{_AGAIN} {_LASTING}"),
    "unknown_state": Word(
        "The SRI names a state that is not known here.", f"{_AGAIN} If it lasts, report it. {_LASTING}"
    ),
    "malformed": Word(
        "The SRI's answer is complete, and something in it cannot be read; it does not count as an outage.",
        f"{_AGAIN} {_LASTING}",
    ),
    "too_many_parts": Word(
        "The SRI's answer has more authorizations or messages than any that makes sense; it does not count as an"
        " outage.",
        f"{_AGAIN} {_LASTING}",
    ),
    "unreadable": Word(
        "Of a check: what came is no answer of the SRI's service. Of a printed form: the stored XML cannot be read.",
        f"A check is made again by itself. To print: import the right XML, then {_PRINT}",
    ),
    # why it cannot be asked about
    "access_key": Word("The access key cannot be right.", _WRONG_KEY),
    "key_length": Word("The access key does not have 49 digits.", _WRONG_KEY),
    "key_not_digits": Word("Something in the access key is no digit.", _WRONG_KEY),
    "key_check_digit": Word(
        "The access key's last digit does not fit the others: one is wrong or exchanged.", _WRONG_KEY
    ),
    "key_date": Word("The access key's first eight digits are no day.", _WRONG_KEY),
    "key_document_type": Word("The access key names a kind of document that does not exist.", _WRONG_KEY),
    "key_environment": Word("The access key names neither the test nor the production environment.", _WRONG_KEY),
    "key_ruc": Word("The access key names another issuer than the tenant.", _WRONG_KEY),
    # what only needs a look
    "date_unreadable": Word(
        "The SRI's date of authorization could not be read, and is left empty.", f"Look at it once. {_STORY}"
    ),
    "date_before_issue": Word(
        "The SRI's date of authorization lies before the document's day of issue; it is kept as it was received.",
        f"Look at it once: the SRI's portal shows the date, by the access key. {_STORY}",
    ),
    "date_in_future": Word(
        "The SRI's date of authorization lies in the future; it is kept as it was received.",
        f"Look at it once: the SRI's date, and the clock of the database (jobsync doctor). {_STORY}",
    ),
    "forbidden_characters": Word(
        "What came from the SRI had characters that XML forbids; they are left out of what was read and is printed,"
        " and the answer is kept as it came.",
        f"Look at the printed document once; the answer as it came: jobsync invoice export KEY --to DIR. {_STORY}",
    ),
    "no_document": Word(
        "The SRI authorized the document and sent no document with it.",
        f"Nothing, if it was imported: its own XML is printed. Else import it, then {_PRINT}",
    ),
    "environment_mismatch": Word(
        "The SRI's answer names another environment (test, production) than the access key.",
        f"Look at it once. {_STORY}",
    ),
    "tenant_environment": Word(
        "The document's key is of another environment (test, production) than its tenant.",
        "Nothing, if that is meant: the key decides whom we ask.",
    ),
    "due_too_far_ahead": Word(
        "The next time of the document lay further ahead than any that is set here: it counted as due.",
        "Nothing, if it was once. Else look at the clocks (jobsync doctor), and at whoever else writes the document's"
        " row.",
    ),
    "announced_but_absent": Word("The SRI announced a document and sent none; counted as an empty answer.", _WAIT),
    # what happened to it
    "imported": Word("The document came in from a file.", "Nothing."),
    "replaced": Word(
        "Another file for the same key took the place of the one before.", "Nothing: the SRI is asked anew."
    ),
    "recheck": Word("A person asked for it to be checked anew.", "Nothing."),
    "discarded": Word("An answer was put aside: the document was changed while the SRI was asked.", "Nothing."),
    "changed": Word("Somebody changed the document after the run had chosen it; it was left alone.", "Nothing."),
    # why it is not printed
    "not_authorized": Word(
        "It has no printed form, since it is not authorized.", "jobsync check-authorizations --access-key KEY"
    ),
    "already_rendered": Word("It has its printed form already.", f"Nothing. To print it anew: {_PRINT}"),
    "no_xml": Word("No XML is kept of the document, so nothing can be printed.", f"Import it, then {_PRINT}"),
    "storage": Word(
        "The folder of the printed forms cannot be written: full, read-only or away.",
        "Mend it (jobsync doctor names it); each tick tries again.",
    ),
}
