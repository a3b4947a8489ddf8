// A service: its keys in their short and long forms, and its defaults (Compose Specification, "Services").
import type * as model from './model.ts'
import { bytes, dictionary, duration, environment, extensions, fields, flag, hostPath, integer } from './values.ts'
import { mode, number, oneOf, path, record, text, texts, unique, words } from './values.ts'
import type { Fields, Reader, Spot } from './values.ts'

const MOST_PORT = 65_535

const BUILD = { context: path, dockerfile: text, target: text }
const BUILD_NOT_DONE = `additional_contexts args cache_from cache_to dockerfile_inline entitlements extra_hosts isolation labels network
  no_cache platforms privileged provenance pull sbom secrets shm_size ssh tags ulimits`
const DEPENDENCY = {
  condition: oneOf('service_started', 'service_healthy', 'service_completed_successfully'),
  required: flag,
  restart: flag,
}
const HEALTHCHECK = {
  test: healthTest,
  interval: duration,
  timeout: duration,
  retries: integer,
  start_period: duration,
  start_interval: duration,
  disable: flag,
}
const LIMITS = { memory: bytes, cpus: number }
const RESOURCES = { limits: (spot: Spot) => fields(spot, LIMITS, 'pids') }
const POLICY = { condition: oneOf('none', 'on-failure', 'any'), max_attempts: integer }
const DEPLOY = {
  mode: text,
  replicas: integer,
  resources: (spot: Spot) => fields(spot, RESOURCES, 'reservations'),
  restart_policy: (spot: Spot) => fields(spot, POLICY, 'delay window'),
}
const DEPLOY_NOT_DONE = 'endpoint_mode labels placement rollback_config update_config'
const ATTACHMENT = { aliases: texts, ipv4_address: text, ipv6_address: text }
const ATTACHMENT_NOT_DONE = 'driver_opts gw_priority interface_name link_local_ips mac_address priority'
// The last three have no effect without a swarm.
const PORT = {
  target: integer,
  published: text,
  host_ip: text,
  protocol: text,
  mode: text,
  name: text,
  app_protocol: text,
}
const MOUNT = {
  type: oneOf('bind', 'volume', 'tmpfs', 'image', 'npipe', 'cluster'),
  source: text,
  target: text,
  read_only: flag,
  consistency: text,
  bind: (spot: Spot) => fields(spot, { create_host_path: flag }, 'propagation recursive selinux'),
  volume: (spot: Spot) => fields(spot, { nocopy: flag, subpath: text }, 'labels'),
  tmpfs: (spot: Spot) => fields(spot, { size: bytes, mode }),
  image: (spot: Spot) => fields(spot, { subpath: text }),
}
const FILE_USE = { source: text, target: text, mode, uid: integer, gid: integer }
const ENV_FILE = { path, required: flag }

const SERVICE = {
  build: (spot: Spot) => fields(spot, BUILD, BUILD_NOT_DONE),
  cap_add: texts,
  command: words,
  configs: (spot: Spot) => unique(spot, ({ target }) => target, fileUse('/')),
  container_name: text,
  cpus: number,
  depends_on: dictionary((one) => ({ ...STARTED, ...fields(one, DEPENDENCY) })),
  deploy: (spot: Spot) => fields(spot, DEPLOY, DEPLOY_NOT_DONE),
  entrypoint: words,
  env_file: (spot: Spot) =>
    spot.items().map((one) => (one.isMap ? fields(one, ENV_FILE, 'format') : { path: path(one) })),
  environment,
  expose: texts,
  extra_hosts: extraHosts,
  healthcheck: (spot: Spot) => fields(spot, HEALTHCHECK),
  hostname: text,
  image: text,
  init: flag,
  labels: record,
  logging: (spot: Spot) => fields(spot, { driver: text, options: record }),
  mem_limit: bytes,
  network_mode: text,
  networks: dictionary((one) => ({ aliases: [], ...fields(one, ATTACHMENT, ATTACHMENT_NOT_DONE) })),
  platform: text,
  ports: (spot: Spot) => unique(spot, portKey, ports),
  privileged: flag,
  profiles: texts,
  pull_policy: text,
  read_only: flag,
  restart,
  scale: integer,
  secrets: (spot: Spot) => unique(spot, ({ target }) => target, fileUse('/run/secrets/')),
  shm_size: bytes,
  stop_grace_period: duration,
  stop_signal: text,
  sysctls: record,
  tmpfs: (spot: Spot) => unique(spot, ({ target }) => target, tmpfs),
  ulimits: dictionary(ulimit),
  user: text,
  volumes: (spot: Spot) => unique(spot, ({ target }) => target, mount),
  working_dir: text,
  // The extended service has been merged before.
  extends: (spot: Spot) => spot.isMap,
}
const NOT_DONE = `annotations attach blkio_config cgroup cap_drop cgroup_parent cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period
  cpu_rt_runtime cpu_shares cpuset credential_spec develop device_cgroup_rules devices dns dns_opt dns_search domainname
  external_links gpus group_add ipc isolation label_file links mac_address mem_reservation mem_swappiness memswap_limit models
  oom_kill_disable oom_score_adj pid pids_limit post_start pre_stop provider pull_refresh_after runtime security_opt stdin_open
  storage_opt tty use_api_socket userns_mode uts volumes_from`

const STARTED = { condition: 'service_started', required: true, restart: false } as const

function healthTest(spot: Spot): readonly string[] {
  const test = spot.isList ? texts(spot) : ['CMD-SHELL', text(spot)]
  return /^(?:NONE|CMD|CMD-SHELL)$/.test(test[0] ?? '')
    ? test
    : spot.wrong('a text, or a list after NONE, CMD or CMD-SHELL')
}

function extraHosts(spot: Spot): model.ComposeService['extraHosts'] {
  return texts(spot).flatMap((one) => {
    const [, host = '', address = ''] = /^([^=:]*)[=:]\[?(.*?)\]?$/.exec(one) ?? []
    return address === '' ? [] : [{ host, address }]
  })
}

function ulimit(spot: Spot): { readonly soft: number; readonly hard: number } {
  const limit: Reader<number> = (one) => (text(one) === '-1' ? -1 : integer(one))
  if (!spot.isMap) return { soft: limit(spot), hard: limit(spot) }
  const { soft, hard } = fields(spot, { soft: limit, hard: limit })
  return { soft: soft ?? hard ?? -1, hard: hard ?? soft ?? -1 }
}

function restart(spot: Spot): model.ComposeService['restart'] {
  const [, policy, count] = /^(no|false|always|unless-stopped|on-failure(?=:\d+$|$))(?::(\d+))?$/.exec(text(spot)) ?? []
  if (policy === undefined) return spot.wrong('no, always, unless-stopped, on-failure or on-failure:COUNT')
  const name = policy === 'false' ? 'no' : (policy as model.ComposeService['restart']['policy'])
  return { policy: name, attempts: count === undefined ? count : Number(count) }
}

const portKey = ({ target, published, hostIp, protocol }: model.ComposePort): string =>
  `${hostIp ?? ''}:${published ?? ''}:${target}/${protocol}`

function ports(spot: Spot): readonly model.ComposePort[] {
  if (spot.isMap) {
    const { target = spot.fail('a port needs its target'), published, hostIp, protocol = 'tcp' } = fields(spot, PORT)
    return [{ target, published, hostIp, protocol }]
  }
  const [, hostIp = '', outside, target = spot.wrong('a port, such as 8080:80'), protocol = 'tcp'] =
    /^(?:(?:\[?([^\]]*)\]?:)?(\d+(?:-\d+)?)?:)?(\d+(?:-\d+)?)(?:\/(\w+))?$/.exec(text(spot)) ?? []
  const [inner, outer] = [portRange(spot, target), outside === undefined ? [] : portRange(spot, outside)]
  if (outer.length > 0 && inner.length > 1 && inner.length !== outer.length) spot.wrong('ranges of one length')
  return inner.map((one, i) => {
    const published = inner.length === 1 ? outside : outer[i]?.toString()
    return { target: one, published, hostIp: hostIp === '' ? undefined : hostIp, protocol }
  })
}

function portRange(spot: Spot, given: string): number[] {
  const [first = 0, last = first] = given.split('-').map(Number)
  if (last < first || last > MOST_PORT) spot.wrong(`ports from 0 to ${MOST_PORT}, the lower one first`)
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}

function mount(spot: Spot): model.ComposeMount {
  const given: Fields<typeof MOUNT> = spot.isMap ? fields(spot, MOUNT) : shortMount(spot)
  const { type = spot.fail('a mount needs its type'), source, target = spot.fail('a mount needs its target') } = given
  return {
    type,
    source: source !== undefined && type === 'bind' ? hostPath(spot, source) : source,
    target: target.replace(/(.)\/+$/, '$1'),
    readOnly: given.readOnly ?? false,
    createHostPath: type === 'bind' && (given.bind?.createHostPath ?? true),
    nocopy: given.volume?.nocopy ?? false,
    subpath: given.volume?.subpath ?? given.image?.subpath,
    ...given.tmpfs,
  }
}

function shortMount(spot: Spot): Fields<typeof MOUNT> {
  const [, source, target, flags = ''] =
    /^(?:((?:[A-Za-z]:[\\/])?[^:]+):)?(\/[^:]*)(?::([^:]*))?$/.exec(text(spot)) ?? []
  if (target === undefined) return spot.wrong('SOURCE:TARGET:MODE with an absolute path as TARGET')
  // The other modes have no effect inside of a service.
  const other = flags.split(',').find((one) => !/^(?:ro|rw|nocopy|z|Z|cached|consistent|delegated|)$/.test(one))
  if (other !== undefined) spot.note(`the mode "${other}" is not done`)
  return {
    type: source !== undefined && /^(?:[./~]|[A-Za-z]:[\\/])/.test(source) ? 'bind' : 'volume',
    ...(source !== undefined && { source }),
    target,
    readOnly: /\bro\b/.test(flags),
    volume: { nocopy: /\bnocopy\b/.test(flags) },
  }
}

function tmpfs(spot: Spot): model.ComposeService['tmpfs'][number] {
  const [target = '', options = ''] = text(spot).split(':')
  return { target, options }
}

function fileUse(folder: string): Reader<model.ComposeFileUse> {
  return (spot) => {
    const given: Fields<typeof FILE_USE> = spot.isMap ? fields(spot, FILE_USE) : { source: text(spot) }
    const { source = spot.fail('its source is missing'), target = source, ...rest } = given
    return { mode: 0o444, ...rest, source, target: target.startsWith('/') ? target : `${folder}${target}` }
  }
}

/** A service with the environment files that are still to be read. */
export interface ReadService extends model.ComposeService {
  readonly envFile: readonly { readonly path?: string; readonly required?: boolean }[]
}

export const readService: Reader<ReadService> = (spot) => {
  const { build, deploy = {}, healthcheck, extends: _, ...rest } = fields(spot, SERVICE, NOT_DONE)
  const { memory: memLimit, cpus } = deploy.resources?.limits ?? {}
  const { condition, maxAttempts: attempts } = deploy.restartPolicy ?? {}
  const policies = { none: 'no', 'on-failure': 'on-failure', any: 'always' } as const
  const policy = deploy.restartPolicy === undefined ? 'no' : policies[condition ?? 'any']
  const { disable = false, ...check } = healthcheck ?? {}
  const folder = hostPath(spot, '.')
  const tag = rest.image ?? `${spot.reading.project}-${spot.path.replace('services.', '')}`
  return {
    init: false,
    restart: { policy, attempts },
    stopGracePeriod: 10e9,
    networks: new Map(rest.networkMode === undefined ? [['default', { aliases: [] }]] : []),
    envFile: [],
    environment: new Map(),
    extraHosts: [],
    ports: [],
    volumes: [],
    tmpfs: [],
    secrets: [],
    configs: [],
    expose: [],
    readOnly: false,
    privileged: false,
    capAdd: [],
    sysctls: new Map(),
    ulimits: new Map(),
    scale: deploy.replicas ?? 1,
    extensions: extensions(spot),
    labels: new Map(),
    profiles: [],
    dependsOn: new Map(),
    memLimit,
    cpus,
    ...rest,
    build: build && { context: folder, dockerfile: 'Dockerfile', ...build, tag },
    healthcheck: healthcheck && { ...check, ...(disable && { test: ['NONE'] }) },
  }
}
