"""What a session asks the database about its tables, views, functions and settings: rows for `relations.Relations`."""

RELATIONS_SQL = """
select 'column', c.oid::text, n.nspname::text, c.relname::text, a.attnum::text, a.attname::text
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
 where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
union all
select 'system', c.oid::text, n.nspname::text, c.relname::text, '0', ''
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname in ('pg_catalog', 'information_schema')
union all
select 'empty', c.oid::text, n.nspname::text, c.relname::text, '0', ''
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
   and (c.relkind = 'S' or (c.relkind in ('r', 'p', 'v', 'm', 'f') and not exists (
     select 1 from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)))
union all
select 'path', '0', u.s::text, '', u.o::text, ''
  from pg_catalog.unnest(pg_catalog.current_schemas(true)) with ordinality u(s, o)
union all
select 'idle', '0', i.name, '', extract(epoch from pg_catalog.current_setting(i.name, true)::interval)::text, ''
  from pg_catalog.unnest(array['idle_session_timeout', 'idle_in_transaction_session_timeout']) i(name)
union all
select 'view', c.oid::text, n.nspname::text, c.relname::text, '0', pg_catalog.pg_get_viewdef(c.oid)
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('v', 'm') and n.nspname not in ('pg_catalog', 'information_schema')
union all
select 'made', c.oid::text, n.nspname::text, c.relname::text, a.attnum::text, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and a.atthasdef and not a.attisdropped
  join pg_catalog.pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
 where c.relkind in ('r', 'p', 'f') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
   and pg_catalog.to_jsonb(a) operator(pg_catalog.->>) 'attgenerated' operator(pg_catalog.<>) ''
union all
select 'function', (p.pronargs - p.pronargdefaults)::text, n.nspname::text, p.proname::text,
  case when p.provariadic = 0 then p.pronargs else 9999 end::text,
  case when a.worst is not null then a.worst else p.provolatile::text end
  || case when exists (select 1 from pg_catalog.pg_proc o where o.pronamespace = 'pg_catalog'::regnamespace
    and o.proname = p.proname and o.proargtypes = p.proargtypes) then '=' else '' end
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  left join (select g.aggfnoid::oid as made, pg_catalog.max(h.provolatile::text) as worst
    from pg_catalog.pg_aggregate g join pg_catalog.pg_proc h on h.oid in (g.aggtransfn, g.aggfinalfn, g.aggcombinefn,
      g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn) group by 1) a on a.made = p.oid
 where n.nspname not in ('pg_catalog', 'information_schema')
union all
select 'function', '0', n.nspname::text, 'operator ' || o.oprname::text, '9999',
  p.provolatile::text || case when exists (select 1 from pg_catalog.pg_operator b
    where b.oprnamespace = 'pg_catalog'::regnamespace and b.oprname = o.oprname and b.oprleft = o.oprleft
      and b.oprright = o.oprright) then '=' else '' end
  from pg_catalog.pg_operator o join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
  join pg_catalog.pg_proc p on p.oid = o.oprcode
 where n.nspname not in ('pg_catalog', 'information_schema')
union all
select distinct 'function', '0', 'pg_catalog', 'type ' || t.typname::text, '9999', 'v'
  from pg_catalog.pg_type t join pg_catalog.pg_constraint k on k.contypid = t.oid
  join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_constraint'::regclass and d.objid = k.oid
    and d.refclassid = 'pg_catalog.pg_proc'::regclass
  join pg_catalog.pg_proc p on p.oid = d.refobjid and p.provolatile = 'v'
union all
select distinct 'function', '0', 'pg_catalog', 'type ' || t.typname::text, '9999', 'v'
  from pg_catalog.pg_cast k join pg_catalog.pg_proc p on p.oid = k.castfunc and p.provolatile = 'v'
  join pg_catalog.pg_type t on t.oid in (k.castsource, k.casttarget)
 where t.typnamespace <> 'pg_catalog'::regnamespace
union all
select distinct 'checked', t.oid::text, '', '', t.typarray::text, '' from pg_catalog.pg_type t
  where exists (select 1 from pg_catalog.pg_constraint k
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_constraint'::regclass and d.objid = k.oid
      and d.refclassid = 'pg_catalog.pg_proc'::regclass
    join pg_catalog.pg_proc p on p.oid = d.refobjid and p.provolatile = 'v' where k.contypid = t.oid)
  or (t.typnamespace <> 'pg_catalog'::regnamespace and exists (select 1 from pg_catalog.pg_cast k
    join pg_catalog.pg_proc p on p.oid = k.castfunc and p.provolatile = 'v' where t.oid in (k.castsource, k.casttarget)))
union all
select 'type', t.oid::text, '', '', t.typarray::text, case when t.typtype = 'e' then '25' else t.typbasetype::text end
  from pg_catalog.pg_type t where t.typtype in ('e', 'd')
union all
select distinct 'own', '0', '', p.proname::text, '0', '' from pg_catalog.pg_proc p
 where p.pronamespace = 'pg_catalog'::regnamespace and p.pronargs - p.pronargdefaults <= 1
   and (p.pronargs >= 1 or p.provariadic <> 0)
   and (p.provolatile = 'v' or p.proname in ('pg_stat_get_activity', 'pg_stat_get_backend_activity'))
union all
select 'part', i.inhrelid::text, '', '', i.inhparent::text, '' from pg_catalog.pg_inherits i
"""
