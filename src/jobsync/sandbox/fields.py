"""The 72 documented fields of a stock item, and what the vendor writes where a value is not known."""

from __future__ import annotations

Vehicle = dict[str, object]

# Names and order of the vendor's Stock API document V1.01 (16/09/2025), section 4.
FIELDS = (
    *("YardCode", "YardName", "StockNumber", "Make", "Model", "Badge", "RegoNum", "VIN", "Price", "YearGroup"),
    *("Odometer", "Body", "Colour", "EngineCapacity", "GearType", "FuelType", "AdvDescription", "Series"),
    *("AdvSpecialPrice", "IsDemo", "IsSpecial", "IsPrestiged", "StockType", "IsUsed", "RegoExpiry", "VideoLink"),
    *("DriveTrain", "DoorNum", "Cylinder", "ShortDescription", "EngineTypeDescription", "EngineSize", "StockStatus"),
    *("GCM", "GVM", "Tare", "SleepingCapacity", "Toilet", "Shower", "AirConditioning", "Fridge", "Stereo"),
    *("SeatCapacity", "RegoState", "AdditionalDescription", "IsDriveAway", "InteriorColor", "BuiltDate"),
    *("ComplianceDate", "EngineNumber", "GPS", "Wheelsize", "TowBallWeight", "Warranty", "Wheels"),
    *("AxleConfiguration", "Location", "StandardFeatures", "OptionalFeatures", "RedbookCode", "NVIC", "IsMiles"),
    *("GearCount", "EnginePower", "PowerkW", "Powerhp", "EngineMake", "SerialNumber", "Length", "IsDepositTaken"),
    *("ImageCount", "ImageURLs"),
)
_NULL_WHEN_UNKNOWN = (
    *("Price", "Odometer", "AdvSpecialPrice", "RegoExpiry", "DoorNum", "EngineSize", "GCM", "GVM", "Tare"),
    *("SleepingCapacity", "SeatCapacity", "IsDriveAway", "GearCount", "EnginePower", "PowerkW", "Powerhp", "Length"),
)
_FALSE_WHEN_UNKNOWN = ("IsDemo", "IsSpecial", "IsPrestiged", "IsUsed", "IsMiles", "IsDepositTaken")
_ZERO_WHEN_UNKNOWN = ("YearGroup", "ImageCount")


def blank_vehicle() -> Vehicle:
    """Return a vehicle of which nothing is known, in the vendor's manner: `""` for texts, null for most numbers."""
    vehicle: Vehicle = dict.fromkeys(FIELDS, "")
    vehicle.update(dict.fromkeys(_NULL_WHEN_UNKNOWN))
    vehicle.update(dict.fromkeys(_FALSE_WHEN_UNKNOWN, False))
    vehicle.update(dict.fromkeys(_ZERO_WHEN_UNKNOWN, 0))
    return vehicle | {"StockType": "A", "Wheelsize": "0"}
