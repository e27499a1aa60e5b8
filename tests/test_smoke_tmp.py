from functools import partial
import pytest
from tracker.store import registrations, watching, tasks, deliveries, changes, access
from tracker.model import *
from tracker.observe import observe
from tracker.webhooks.composer import Composer
pytestmark = pytest.mark.anyio

async def test_flow(database, clock):
    C=Composer()
    reg=partial(registrations.register, wanted=[registrations.Wanted(upstream="default",task_id="1",url="http://x/y"),registrations.Wanted(upstream="default",task_id="2")], owner="a", sees_all=False, default_format="standard", now=clock(), compose=C)
    r=await database.write(reg); assert [x.created for x in r]==[True,True]
    r=await database.write(reg); assert [x.created for x in r]==[False,False]
    await database.write(partial(watching.join,me="m",host="h",pid=1,version="1",now=clock()))
    assert await database.read(partial(watching.has_work,me="m",upstreams=["default"]))
    ad=await database.write(partial(watching.adopt,me="m",upstreams=["default"],limit=10,now=clock()))
    assert len(ad)==2
    snap=Snapshot(task_id="1",status=Status.SUCCEEDED,upstream_status="SUCCESS",progress=100,object={"id":"1"})
    rec=await database.write(partial(changes.record,decisions={ad[0].key:partial(observe,seen=snap,now=clock(),streak=NO_STREAK,rules=Rules())},watcher="m",now=clock(),compose=C))
    print(rec)
    d=await database.read(partial(deliveries.due,now=clock(),without=[],limit=10)); assert len(d)==1
    cl=await database.write(partial(deliveries.claim,keys=[d[0].key],now=clock(),until=clock()))
    print(cl)
    from datetime import timedelta
    assert await database.write(partial(deliveries.settle,claimed=cl[0],outcome=Outcome(delivered=True,duration=timedelta(seconds=1),status_code=200),now=clock(),next_attempt_at=None))
    h=await database.read(partial(tasks.history,key=ad[0].key)); print(h); assert len(h)==3
    from sqlalchemy import text
    for v in ("task_overview","task_history","delivery_log"):
        print(await database.read(lambda c: c.execute(text(f"select * from {v}")).mappings().all()))
    def plain(c):
        c.execute(text("insert into task (upstream, task_id) values ('default','sql')"))
    await database.write(plain)
    ad=await database.write(partial(watching.adopt,me="m",upstreams=["default"],limit=10,now=clock())); assert len(ad)==1
    print(ad)
    t=(await database.read(partial(tasks.page,wanted=tasks.Filter(q="sq"),owner=None))); print(t); assert len(t)==1
    await database.write(partial(watching.leave,me="m"))
