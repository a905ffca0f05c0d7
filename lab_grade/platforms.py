"""Whose a file is: by the names that learning platforms give to what students hand in."""

import json
import re
import unicodedata
from dataclasses import dataclass

# What each platform makes of a student's file or folder; `id` is the platform's own. Canvas writes
# no number into names, so that a date is none of its numbers.
NAMES = {
    "moodle": r"(?P<name>[^_]+)_(?P<id>\d+)_assignsubmission_[a-z]+(?:_.*|$)",
    "canvas, anonymous": r"(?P<late>LATE_)?(?P<name>(?P<id>anon_[A-Za-z0-9]+))_(?:\d+_.|link|text)",
    "canvas": r"(?P<name>(?:(?!_\d+_).)*?[^\W\d_](?:(?!_\d+_).)*?)_(?P<late>LATE_)?"
    r"(?P<id>(?!(?:19|20)\d\d_[01]?\d_[0-3]?\d(?!\d))\d+)_(?:\d+_.|(?:link|text)\.html)",
    "blackboard": r"(?P<id>(?:.*_)?(?P<name>[^_]+))_attempt_(?P<date>\d[\d-]+)(?:_.|\.txt$|$)",
    "brightspace": r"(?P<id>\d+)-\d+ - (?P<name>.+?) ?- (?P<date>(?:(?! - ).)*\d{4}(?:(?! - ).)*)"
    r"(?: - .|$)",
    "gradescope": r"(?P<name>submission_(?P<id>\d+))$",
}
PATTERNS = {platform: re.compile(pattern) for platform, pattern in NAMES.items()}
UPLOAD = re.compile(r".*?_assignsubmission_[a-z]+|(?:LATE_)?anon_\w+?_\d+(?=_)|.*?_\d+_\d+(?=_)")
SAKAI = re.compile(r"(?P<name>[^(]+,.*)\((?P<id>[^()]+)\)$")  # folders: Kim, Jane(kimjane)
# Files that a platform, a system or an instructor adds; nobody hands them in for a notebook.
ADDED = re.compile(
    r"(?:~\$|readme\b).*|icon\r|.*\.(?:csv|tsv|xlsx?|ods|ya?ml|xml|log|ini|db|lnk|url|lock)|"
    r"index\.html?|feedbacktext\.html|(?:.*[_ -])?(?:log|errors|timestamp|comments|metadata)\.txt|"
    r"(?:manifest|.*metadata)\.json",
    re.IGNORECASE,
)
# Folders around those of students: Teams, SharePoint and Google Drive make them.
AROUND = re.compile(r"submitted files|student work|submissions?|제출(?:된|한) 파일", re.IGNORECASE)
_BESIDE = r"working files|작업 파일|feedback attachment.*|\$recycle\.bin|#recycle|@eadir"
BESIDE = re.compile(rf"{_BESIDE}|lost\+found|system volume information", re.IGNORECASE)
HIDDEN = re.compile(r"\.(?!ipynb$)|__", re.IGNORECASE)  # but not a notebook that has lost its name
# A notebook's suffix, and what browsers and editors append to it.
NOTEBOOK = re.compile(r"(?i)\.ipynb(?:\.(?:txt|json|bak|orig|download|part|\d+)| ?\(\d+\)|~)?$")
# What systems and browsers append to the name of a second copy.
COPY = re.compile(
    r"(?:\s*\(\d+\)|-Copy\d*|\s+-\s+(?:copy|kopie|copi[ea]|복사본|コピー|副本)|\s+copy|의 사본"
    r"|\s?のコピー|的副本)(?:\s*\(?\d+\)?)?$|^(?:copy of|kopie von|copi[ea] d[ei]) ",
    re.IGNORECASE,
)
# As they begin in the languages of platforms.
MONTHS = "jan|ene|gen f[eé][bv] m[aä]r|mrt a[bpv]r ma[giy]|mei jui?n|giu jui?l|lug ao[uû]|aug|ago"
MONTHS += " sep|set o[ck]t|ott|out nov d[eéi][cz]"


@dataclass(frozen=True)
class Owner:
    """Whose a file or folder is, and which attempt, as its name tells."""

    name: str  # "" where it has none
    platform: str = ""  # who named it
    id: str = ""  # the platform's number or login of the student
    attempt: tuple[int, ...] = ()  # the time that the name tells, in parts
    is_late: bool = False
    prefix: str = ""  # with which the platform wants to see a feedback file begin


def read_owner(name: str, is_folder: bool) -> Owner:
    """Return whose a file or folder is, by its decoded name."""
    for platform, pattern in PATTERNS.items():
        if found := pattern.match(name):
            parts = found.groupdict()
            upload = UPLOAD.match(name)
            return Owner(
                tidy_name(parts["name"]),
                platform.partition(",")[0],
                parts["id"],
                read_date(parts.get("date") or ""),
                is_late=bool(parts.get("late")),
                prefix=f"{upload[0]}_" if upload else "",
            )
    if is_folder and (found := SAKAI.match(name)):
        return Owner(tidy_name(found["name"]), "sakai", found["id"])
    return Owner(tidy_name(name if is_folder else strip_suffix(name)))


def read_date(text: str) -> tuple[int, ...]:
    """Return the parts of a date, largest first, so that later ones are larger."""
    numbers, months = re.findall(r"\d+", text), enumerate(MONTHS.split(), start=1)
    found = [str(i) for i, month in months if re.search(rf"\b(?:{month})", text.lower())]
    numbers[1:1] = found[:1]
    if len(numbers) > 2 and len(numbers[0]) < 4 <= len(numbers[2]):
        numbers[:3] = reversed(numbers[:3])
    if half := re.search(r"[ap]\.?\s?m\b|오전|오후", text.lower()):
        time = "".join(numbers[3:]).zfill(4)
        is_afternoon = half[0].startswith(("p", "오후"))
        numbers[3:] = [str(int(time[:2]) % 12 + 12 * is_afternoon), time[2:4]]
    return tuple(map(int, numbers))


def strip_suffix(name: str) -> str:
    """Return a file's name without its suffix, or the two that a browser makes of one."""
    return re.sub(rf"{NOTEBOOK.pattern}|(?<=.)\.\w{{1,5}}$", "", name)


def tidy_name(name: str) -> str:
    """Return a name that a file can have, without what cannot be seen."""
    seen = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return re.sub(r'[\\/:*?"<>|]', "_", seen).strip(" .")


def decode_name(name: str) -> str:
    """Return a file's name as it was written, whatever a zip or a disk has made of it.

    Zips of old systems hold the bytes of cp949, Shift JIS or cp437, which `zipfile` takes for the
    last, and Linux for broken UTF-8.
    """
    try:
        raw = name.encode("cp437")
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "surrogateescape")
    for encoding in ("utf-8", "cp949", "cp932"):
        try:
            decoded = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" or _looks_written(decoded, encoding):
            return unicodedata.normalize("NFC", decoded)
    return unicodedata.normalize("NFC", raw.decode("cp437"))


def _looks_written(name: str, encoding: str) -> bool:
    """Tell whether a name may have been written in an encoding: anything can be read in most."""
    others = re.sub(r"[ -~]", "", name)
    if encoding == "cp932":
        kanji = "ぁ-ヿ一-鿿々"  # two together: one alone may be an ö in cp437
        return bool(
            re.search(f"[{kanji}][ _]?[{kanji}]", name) and not re.search(f"[^{kanji}]", others)
        )
    common = [c for c in others if len(c.encode("euc_kr", "ignore")) == 2]  # not 뢵, 괻 or 걊
    return len(common) * 2 > len(others) and not re.search("[^가-힣一-鿿豈-\ufaff]", others)


def decode_text(raw: bytes) -> str:
    """Return the text of a file of whatever system: UTF-8, -16 or -32, cp949, Shift JIS, ..."""
    for encoding in (json.detect_encoding(raw), "cp949", "cp932", "cp1252"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "replace")


def fold(name: str) -> str:
    """Return what is the same of two names that some file systems take for one."""
    return unicodedata.normalize("NFKC", name).casefold()
