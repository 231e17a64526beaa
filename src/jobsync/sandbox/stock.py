"""Invented stock, the same for a dealer and night every time; makes and models exist, all else is made up."""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple, cast

import msgspec

from jobsync.sandbox.fields import Vehicle, blank_vehicle
from jobsync.sandbox.oddities import odd_items
from jobsync.sandbox.scenario import Body, Dealer, Items

_VEHICLES = 30  # where a dealer does not say how many


class StockEntry(NamedTuple):
    """One element of StockList as it goes over the wire; `yard` None is sent whatever yard is asked for."""

    text: bytes
    yard: str | None


def vehicles_on(dealer: Dealer, night: int) -> list[Vehicle]:
    """
    Return a dealer's vehicles of one night, without oddities, in feed order; ValueError where it sends a raw body.

    Each night after the first about 2 % change (price, offer, photos), 1 % are marked sold and are gone the night
    after, 1 % go at once, and as many new ones come as went; from five vehicles on there is at least one of each.
    """
    feed = dealer.on(night).feed
    if isinstance(feed, Body):
        raise ValueError(f"{dealer.name} answers with a raw body on night {night}")
    if feed is not None:
        decoded = [msgspec.json.decode(item) for item in feed]
        return [item for item in decoded if isinstance(item, dict)]
    rng = _rng(dealer, 1)
    serial = _VEHICLES if dealer.vehicles is None else dealer.vehicles
    lot = [_invent(rng, dealer, number) for number in range(serial)]
    for later in range(2, night + 1):
        rng = _rng(dealer, later)
        went = _turn_night(rng, lot)
        lot.extend(_invent(rng, dealer, serial + index) for index in range(went))
        serial += went
    return lot


def entries_on(dealer: Dealer, night: int) -> list[StockEntry]:
    """Return what a dealer's StockList holds on one night, oddities included (they come last)."""
    plan = dealer.on(night)
    sound = plan.feed if isinstance(plan.feed, Items) else map(msgspec.json.encode, vehicles_on(dealer, night))
    entries = [StockEntry(item, _yard_of(item)) for item in sound]
    template = _invent(_rng(dealer, 0), dealer, 0)
    for name in plan.oddities:
        own_yard = None if name in {"wrong_yard", "not_an_object", "missing_fields"} else str(template["YardCode"])
        entries.extend(StockEntry(text, own_yard) for text in odd_items(name, template))
    return entries


def _yard_of(item: bytes) -> str | None:
    decoded = msgspec.json.decode(item)
    yard = decoded.get("YardCode") if isinstance(decoded, dict) else None
    return yard if isinstance(yard, str) else None


def _rng(dealer: Dealer, night: int) -> Random:
    return Random(f"{dealer.seed}/{dealer.account_number}/{night}")


def _turn_night(rng: Random, lot: list[Vehicle]) -> int:
    size = len(lot)
    lot[:] = [vehicle for vehicle in lot if vehicle["StockStatus"] != "Sold"]
    least = 1 if size >= 5 else 0
    changing, leaving, selling = max(least, round(size * 0.02)), *[max(least, round(size * 0.01))] * 2
    picked = rng.sample(lot, min(len(lot), changing + leaving + selling))
    for index, vehicle in enumerate(picked[:changing]):
        _change(rng.random() if index else 0, rng, vehicle)  # the first change is of a price, where there is one
    for vehicle in picked[changing + leaving :]:
        vehicle.update(StockStatus="Sold", IsDepositTaken=True)
    leavers = {id(vehicle) for vehicle in picked[changing : changing + leaving]}
    lot[:] = [vehicle for vehicle in lot if id(vehicle) not in leavers]
    return size - len(lot)


def _change(what: float, rng: Random, vehicle: Vehicle) -> None:
    price = vehicle["Price"]
    if what < 0.6 and isinstance(price, int) and price > 5000:
        vehicle["Price"] = price - 500 * rng.randint(1, 4)
    elif what < 0.8:
        offer = not vehicle["IsDepositTaken"]
        vehicle.update(IsDepositTaken=offer, StockStatus="On Offer" if offer else "In Stock")
    else:
        photos = [url for url in str(vehicle["ImageURLs"]).split(",") if url] + [_photo(rng)]
        vehicle.update(ImageURLs=",".join(photos), ImageCount=len(photos))


# Of a model as it is advertised: GVM and Tare in kg, EnginePower in kW; then its price when new, in dollars.
_COLUMNS = (
    *("StockType", "Make", "Model", "Badge", "Series", "Body", "EngineCapacity", "GearType", "GearCount", "FuelType"),
    *("DriveTrain", "Cylinder", "EngineSize", "DoorNum", "SeatCapacity", "EnginePower", "GVM", "Tare"),
)
_AUTO, _MANUAL, _CVT = "6 SP AUTOMATIC", "5 SP MANUAL", "CONTINUOUS VARIABLE"
_KINDS: tuple[tuple[Any, ...], ...] = (
    ("A", "TOYOTA", "HILUX", "SR5 ", "GUN126R ", "DUAL CAB UTILITY", "2.8L", _AUTO, 6, "Diesel", "4X4", "4", 2755,
     4, 5, 150, 3050, 2075, 62990),
    ("A", "TOYOTA", "COROLLA", "ASCENT SPORT", "ZWE219R ", "5D HATCHBACK", "1.8L", _CVT, None, "Hybrid", "FWD",
     "4", 1798, 5, 5, 72, 1820, 1360, 33990),
    ("A", "FORD", "RANGER", "XLT ", "PY MY22", "DOUBLE CAB PICK UP", "2.0L", "10 SP AUTOMATIC", 10, "Diesel",
     "4X4", "TT4", 1996, 4, 5, 154, 3230, 2256, 64490),
    ("A", "MAZDA", "CX-5", "MAXX SPORT", "KF4WLA ", "4D WAGON", "2.5L", _AUTO, 6, "Petrol", "AWD", "4", 2488, 5, 5,
     140, 2159, 1629, 41990),
    ("A", "HYUNDAI", "I30", "ACTIVE ", "PD.V4 MY21", "4D HATCHBACK", "2.0L", _AUTO, 6, "Petrol", "FWD", "4", 1999,
     5, 5, 120, 1820, 1317, 27990),
    ("A", "SUBARU", "OUTBACK", "AWD TOURING", "MY23", "4D WAGON", "2.5L", _CVT, 8, "Petrol", "AWD", "F4", 2498, 5,
     5, 138, 2150, 1661, 52990),
    ("A", "HOLDEN", "COMMODORE", "EVOKE", "VF II", "4D SEDAN", "3.0L", _AUTO, 6, "Petrol", "RWD", "V6", 2997, 4, 5,
     185, 2216, 1622, 35490),
    ("A", "MITSUBISHI", "OUTLANDER", "ES ", "ZM MY23", "4D WAGON", "2.5L", _CVT, None, "Petrol", "FWD", "4", 2488,
     5, 7, 135, 2275, 1640, 38990),
    ("A", "KIA", "CARNIVAL", "PLATINUM", "KA4 MY22", "4D WAGON", "2.2L", "8 SP AUTOMATIC", 8, "Diesel", "FWD",
     "T4", 2151, 5, 8, 148, 2890, 2150, 69990),
    ("A", "TESLA", "MODEL 3", "LONG RANGE ", "", "4D SEDAN", "", "1 SP REDUCTION GEAR", 1, "Electric", "AWD", "",
     None, 4, 5, 324, 2232, 1844, 73900),
    ("A", "NISSAN", "PATROL", "TI-L", "Y62 MY21", "4D WAGON", "5.6L", "7 SP AUTOMATIC", 7, "Petrol", "4X4", "V8",
     5552, 5, 7, 298, 3500, 2715, 95990),
    ("A", "VOLKSWAGEN", "GOLF", "110TSI ", "AU MY21 ", "5D HATCHBACK", "1.4L", "8 SP AUTOMATIC", 8, "Petrol",
     "FWD", "T4", 1395, 5, 5, 110, 1840, 1304, 36990),
    ("A", "SUZUKI", "JIMNY", "GLX", "JB74", "2D HARDTOP", "1.5L", _MANUAL, 5, "Petrol", "4X4", "4", 1462, 3, 4, 75,
     1435, 1075, 31990),
    ("H", "ISUZU", "N SERIES", "NPR 65-190", "", "TRAY TOP", "5.2L", "6 SP MANUAL", 6, "Diesel", "4X2", "T4", 5193,
     2, 3, 140, 6500, 2810, 89500),
    ("M", "HONDA", "CB500X", "", "MY20", "MOTORCYCLE", "0.5L", "6 SP MANUAL", 6, "Petrol", "", "2", 471, None, 2,
     35, None, 197, 11990),
    ("C", "JAYCO", "JOURNEY", "17.55-3 OUTBACK ", "", "CARAVAN", "", "", None, "", "", "", None, None, None, None,
     2800, 2130, 78990),
    ("B", "QUINTREX", "420 RENEGADE", "SC", "", "OPEN BOAT", "", "", None, "", "", "", None, None, 4, None, None,
     None, 26990),
)  # fmt: skip
_KIND_WEIGHTS = (12, 10, 11, 9, 8, 7, 5, 7, 5, 4, 4, 6, 4, 2, 2, 2, 1)
_COLOURS = ("WHITE", "SILVER", "GREY", "BLACK", "BLUE", "RED", "BRONZE", "GREEN", "Deep Ocean Blue", "")
_TRIMS = ("BLACK", "GREY CLOTH", "BLACK LEATHER", "", "", "")
_FEATURES = (
    *("Air Conditioning", "Climate Control", "Cruise Control", "Adaptive Cruise Control", "ABS Brakes", "Side Airbags"),
    *("Knee Airbag - Driver", "Bluetooth", "Reversing Camera", "Parking Sensors - Rear", "Parking Sensors - Front"),
    *("Lane Keeping Assist", "Blind Spot Monitor", "Rear Cross Traffic Alert", "Keyless Entry", "Push Button Start"),
    *("Power Windows - Front & Rear", "Power Tailgate", "Heated Seats - 1st Row", "Leather Steering Wheel"),
    *("Electric Seat - Driver", "Tyre Pressure Sensors", "Daytime Running Lamps", "LED Headlamps", "Fog Lamps - Front"),
    *("Alloy Wheels", "Full Size Spare Wheel", "Roof Rails", "Side Steps", "Diff Lock", "Trailer Sway Control"),
    *("Hill Holder", "Hill Descent Control", "USB Audio Input", "Digital Radio", "Apple CarPlay", "Android Auto"),
    *("Wireless Charging", "Cup Holders - 2nd Row", "Child Seat Anchors", "12V Socket(s)", "Rain Sensing Wipers"),
)
_EXTRAS = ("Tow Bar", "Bull Bar", "Canopy", "Window Tint", "Snorkel", "Roof Racks", "Floor Mats", "Dash Cam")
_SENTENCES = (
    "Full service history and two keys.",
    "One careful owner from new.",
    "Serviced and ready to drive home today.",
    "Trade-ins welcome, ask us about your car.",
    "Finance can be arranged from our office.",
    "We deliver to every state & territory.",
    "Come for a test drive, the kettle is on!",
    'Fresh from its service, with new tyres and a "like new" cabin.',
    "Photos show the vehicle on our lot – what you see is what you get.",
)
_STATES = ("NSW", "VIC", "QLD", "WA", "SA", "TAS", "ACT", "NT")
_VIN_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"


def _invent(rng: Random, dealer: Dealer, serial: int) -> Vehicle:
    *model, new_price = rng.choices(_KINDS, _KIND_WEIGHTS)[0]
    used = rng.random() < 0.85
    demo = not used and rng.random() < 0.3
    age = rng.randint(1, 12) if used else 0
    yard = rng.choice(dealer.yards)
    photos = [_photo(rng) for _ in range(rng.choice((0, 1, 4, 8, 8, 12)))]
    vehicle = blank_vehicle() | dict(zip(_COLUMNS, model, strict=True))
    vehicle.update(
        YardCode=yard,
        YardName=f"{dealer.name} {yard}",
        StockNumber=f"{'U' if used else 'D' if demo else 'N'}{10000 + serial}",
        YearGroup=2025 - age,
        IsUsed=used,
        IsDemo=demo,
        IsPrestiged=new_price > 90000,
        Colour=rng.choice(_COLOURS),
        InteriorColor=rng.choice(_TRIMS),
        ImageCount=len(photos),
        ImageURLs=",".join(photos),
        VideoLink=f"https://videos.sandbox.example/walkaround/{serial}" if rng.random() < 0.05 else "",
    )
    vehicle.update(_mechanics(vehicle))
    vehicle.update(_money(rng, new_price, age))
    vehicle.update(_papers(rng, used=used, demo=demo, age=age))
    vehicle.update(_words(rng, vehicle))
    return vehicle


_CARAVAN = {
    "SleepingCapacity": 4,
    "Toilet": "Cassette",
    "Shower": "Internal",
    "Fridge": "3 way, 150 litres",
    "TowBallWeight": "185",
}


def _mechanics(vehicle: Vehicle) -> Vehicle:
    kind, power, gvm = vehicle["StockType"], cast("int | None", vehicle["EnginePower"]), vehicle["GVM"]
    turbo = f"TURBO {'DIESEL' if vehicle['FuelType'] == 'Diesel' else 'PETROL'}"
    return {
        "EngineTypeDescription": turbo if str(vehicle["Cylinder"]).startswith("T") else "",
        "PowerkW": power,
        "Powerhp": None if power is None else round(power * 1.34, 2),
        "GCM": 6000 if vehicle["DriveTrain"] == "4X4" and isinstance(gvm, int) and gvm > 3000 else None,
        "AxleConfiguration": "4x2" if kind == "H" else "",
        "Length": {"C": 7.35, "B": 4.25}.get(str(kind)),
        **(_CARAVAN if kind == "C" else {}),
    }


def _money(rng: Random, new_price: int, age: int) -> Vehicle:
    if rng.random() < 0.05:  # "price on application"
        return {"Price": None, "IsDriveAway": None}
    price = max(4990, round(new_price * 0.88**age * rng.uniform(0.92, 1.08) / 500) * 500 - 10)
    special = rng.random() < 0.12
    return {
        "Price": price,
        "AdvSpecialPrice": price - 1000.5 if special else None,
        "IsSpecial": special,
        "IsDriveAway": rng.choice((True, True, False, None)),
    }


def _papers(rng: Random, *, used: bool, demo: bool, age: int) -> Vehicle:
    offer = rng.random() < 0.06
    wheels = rng.random() < 0.3
    papers: Vehicle = {
        "VIN": "6ZZ" + "".join(rng.choices(_VIN_LETTERS, k=14)) if rng.random() < 0.8 else "",
        "Odometer": None,
        "StockStatus": "On Offer" if offer else "In Stock",
        "IsDepositTaken": offer,
        "Wheels": "18 INCH ALLOYS" if wheels else "",
        "Wheelsize": "18" if wheels else "0",
    }
    if used:
        papers["Odometer"] = round(age * rng.uniform(6000, 19000)) if rng.random() < 0.96 else None
        papers["RegoNum"] = "".join((*rng.choices("ABCDEFGHJK", k=3), *rng.choices("0123456789", k=3)))
        papers["RegoState"] = rng.choice(_STATES)
        if rng.random() < 0.5:
            papers["RegoExpiry"] = f"{rng.randint(1, 28):02}/{rng.randint(1, 12):02}/2026"
        papers["BuiltDate"] = f"{rng.randint(1, 12):02}/{2025 - age}" if rng.random() < 0.5 else ""
        papers["ComplianceDate"] = papers["BuiltDate"]
    else:
        papers["Odometer"] = rng.randint(800, 6000) if demo else rng.choice((0, 12, None))
        papers["Warranty"] = "5 years, unlimited kilometres"
        if rng.random() < 0.1:
            papers["StockStatus"] = "On Order"
    return papers


def _words(rng: Random, vehicle: Vehicle) -> Vehicle:
    advertised = [str(vehicle[field]) for field in ("Model", "Badge", "Series", "EngineCapacity", "GearType")]
    description = " ".join(rng.sample(_SENTENCES, rng.randint(2, 6)))
    return {
        "AdvDescription": description.replace("today. ", "today.\r\n\r\n") if rng.random() < 0.95 else "",
        "ShortDescription": " ".join(word.strip() for word in advertised if word),
        "StandardFeatures": ",".join(rng.sample(_FEATURES, rng.randint(6, len(_FEATURES)))),
        "OptionalFeatures": ",".join(rng.sample(_EXTRAS, rng.choice((0, 0, 0, 1, 3)))),
        "Location": rng.choice(("", "", "", "Front line", "Workshop")),
    }


def _photo(rng: Random) -> str:
    folder, number = rng.randint(300000, 399999), rng.randint(10000, 99999)
    return f"https://images.sandbox.example/publicimages/image/{folder}/{number}/{rng.getrandbits(160):040x}"
