"""
The script that most people would write: requests and the SQLAlchemy ORM, one vehicle at a time, a commit a dealership.

`orm_script.py URL DATABASE_URL DEALERSHIPS`; prints what its loop took, start-up left out, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import requests  # type: ignore[import-untyped, unused-ignore]
from sqlalchemy import create_engine, select
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session

TEXTS = {
    "make": "Make",
    "model": "Model",
    "badge": "Badge",
    "series": "Series",
    "body": "Body",
    "colour": "Colour",
    "interior_colour": "InteriorColor",
    "stock_type": "StockType",
    "stock_status": "StockStatus",
    "description": "AdvDescription",
    "short_description": "ShortDescription",
    "registration": "RegoNum",
    "registration_state": "RegoState",
    "fuel_type": "FuelType",
    "transmission": "GearType",
    "drive_train": "DriveTrain",
    "engine_capacity": "EngineCapacity",
    "yard_code": "YardCode",
    "video_link": "VideoLink",
    "vin": "VIN",
}
VALUES = {
    "year": "YearGroup",
    "odometer": "Odometer",
    "doors": "DoorNum",
    "seats": "SeatCapacity",
    "price": "Price",
    "special_price": "AdvSpecialPrice",
    "is_drive_away": "IsDriveAway",
}


def columns_of(item: dict[str, Any]) -> dict[str, Any]:
    """Return a vehicle's columns."""
    values = {column: (item.get(key) or "").strip() or None for column, key in TEXTS.items()}
    values |= {column: item.get(key) for column, key in VALUES.items()}
    status = "sold" if item["StockStatus"] == "Sold" else "deposit" if item["IsDepositTaken"] else "active"
    return values | {
        "status": status,
        "title": f"{item['YearGroup']} {item['Make']} {item['Model']}",
        "condition": "demo" if item["IsDemo"] else "used" if item["IsUsed"] else "new",
        "odometer_unit": "mi" if item["IsMiles"] else "km",
        "features": [
            part.strip()
            for key in ("StandardFeatures", "OptionalFeatures")
            for part in (item[key] or "").split(",")
            if part.strip()
        ],
        "images": [part for part in (item["ImageURLs"] or "").split(",") if part],
    }


def main() -> None:
    """Sync every dealership, one after the other."""
    url, database_url, dealerships = sys.argv[1], sys.argv[2], int(sys.argv[3])
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg2://", 1))
    base: Any = automap_base()
    base.prepare(autoload_with=engine)
    vehicle_class, document_class = base.classes.vehicles, base.classes.easycar_stock_data
    http = requests.Session()
    started, started_cpu = time.perf_counter(), time.process_time()
    token = http.post(f"{url}/RequestToken").json()["Token"]
    for number in range(1, dealerships + 1):
        account = {"AccountNumber": f"EC{number:06}", "AccountSecret": "bench"}
        answer = http.post(
            f"{url}/GetAdvertisementStocks", json=account, headers={"Authorization": f"Bearer {token}"}
        ).json()
        with Session(engine) as session:
            for item in answer["StockList"]:
                vehicle = session.scalar(
                    select(vehicle_class).where(
                        vehicle_class.dealership_id == number, vehicle_class.stock_number == item["StockNumber"]
                    )
                )
                if vehicle is None:
                    vehicle = vehicle_class(
                        dealership_id=number, stock_number=item["StockNumber"], data_source="easycars"
                    )
                    document = document_class(vehicles=vehicle)
                    session.add_all([vehicle, document])
                else:
                    document = session.scalar(select(document_class).where(document_class.vehicle_id == vehicle.id))
                for column, value in columns_of(item).items():
                    setattr(vehicle, column, value)
                document.stock_item_json = item
            session.commit()
    print(json.dumps({"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - started_cpu}))


if __name__ == "__main__":
    main()
