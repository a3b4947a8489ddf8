// A project as a whole: its files, its variables, and its parts with their defaults.
import { ComposeError, type ComposeErrorCode } from './errors.ts'
import { type ComposeReader, failIn, folderOf, Loader } from './load.ts'
import type { ComposeNetwork, ComposeProject, ComposeService } from './model.ts'
import { type ReadService, readService } from './service.ts'
import { dictionary, extensions, fields, flag, joined, path as hostFile, Spot, text } from './values.ts'

/** Names of the file in a folder, the preferred one first. An override may be beside it. */
const NAMES = ['compose.yaml', 'compose.yml', 'docker-compose.yaml', 'docker-compose.yml']
const MOST_SERVICES = 1000

/** How a project is read. */
export interface ReadComposeOptions {
  /** Returns the text of a file, or undefined if there is none at the path. */
  readonly read: (path: string) => Promise<string | undefined>
  /** Variables of the host. They have precedence over variables of files. HOME stands for `~` in paths. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Files of variables. Default: `.env` beside the first file, if there is one. */
  readonly envFiles?: readonly string[]
  /** Profiles that are enabled; `*` enables all. Default: COMPOSE_PROFILES, with commas. */
  readonly profiles?: readonly string[]
  /** Names of services. Only these run, and the services that they need. */
  readonly only?: readonly string[]
  /** Name of the project. Default: COMPOSE_PROJECT_NAME, or `name` of the files, or the folder's name, or `project`. */
  readonly name?: string
  /** Makes a key without a counterpart in the model an error. */
  readonly strict?: boolean
}

/**
 * Reads the Compose files of a project.
 *
 * @param paths - the files in the order of merging. The first may be a folder, whose file has one of the usual names.
 * @throws ComposeError for the first mistake
 */
export async function readCompose(paths: readonly string[], options: ReadComposeOptions): Promise<ComposeProject> {
  const loader = new Loader(options.read)
  const { places, notices, variables } = loader
  const files = await filesOf(paths, options.read)
  const [first = ''] = files
  const folder = folderOf(first)
  await readVariables(loader, folder, options)
  const root = new Spot(await loader.load(files, folder), '', loader)
  const ofFolder = (folder.split('/').at(-1) ?? '').toLowerCase().replaceAll(/^[^a-z0-9]+|[^a-z0-9_-]/g, '')
  const own = root.entries().find(([key]) => key === 'name')?.[1]
  loader.project = variables.get('COMPOSE_PROJECT_NAME') ?? (own && text(own)) ?? (ofFolder || 'project')
  const { services: all = new Map<string, ReadService>(), ...sections } = fields(root, PROJECT, 'models')

  const fail: Fail = (key, reason, code = 'ERR_UNKNOWN') => {
    throw new ComposeError(code, places.get(key) ?? { file: first, line: 1, column: 1 }, key, reason)
  }
  if (all.size === 0) fail('services', 'there is no service', 'ERR_VALUE')
  if (all.size > MOST_SERVICES) fail('services', `more than ${MOST_SERVICES} services`, 'ERR_LIMIT')
  const leftOut = leftOutOf(
    all,
    options.profiles ?? variables.get('COMPOSE_PROFILES')?.split(',') ?? [],
    options.only,
    fail,
  )
  const services = new Map<string, ComposeService>()
  for (const [name, { envFile, ...service }] of all) {
    if (leftOut.has(name)) continue
    const environment = new Map<string, string>()
    for (const { path = '', required = true } of envFile) {
      const values = await loader.environment(path, new Map([...environment, ...variables]))
      if (values === undefined && required) fail(`services.${name}.env_file`, `there is no file ${path}`, 'ERR_FILE')
      for (const [key, value] of values ?? []) environment.set(key, value)
    }
    for (const [key, value] of service.environment) environment.set(key, value)
    const dependsOn = new Map([...service.dependsOn].filter(([other]) => all.has(other) && !leftOut.has(other)))
    services.set(name, { ...service, environment, dependsOn })
  }
  const networks = new Map(sections.networks)
  const isDefault = [...services.values()].some((service) => service.networks.has('default'))
  if (isDefault && !networks.has('default'))
    networks.set('default', { name: `${loader.project}_default`, ...PLAIN_NETWORK })
  const { volumes = new Map(), secrets = new Map(), configs = new Map() } = sections
  const parts = { services, leftOut, networks, volumes, secrets, configs, extensions: extensions(root) }
  const project = { name: loader.project, ...parts, notices, places }
  checkProject(project, fail)
  const unknown = notices.find(({ kind }) => kind === 'key')
  if (options.strict === true && unknown !== undefined) fail(unknown.key, 'the model does not have this key', 'ERR_KEY')
  return project
}

const subnet = (spot: Spot): ComposeNetwork['subnets'][number] => {
  const { subnet: given, ...rest } = fields(spot, { subnet: text, gateway: text }, 'aux_addresses ip_range')
  return { subnet: given ?? spot.fail('its subnet is missing'), ...rest }
}
// Before version 3.5 of the files, an external thing was a mapping with its name.
const external = (spot: Spot): boolean => spot.isMap || flag(spot)
const PLAIN_NETWORK = { external: false, internal: false, enableIpv6: false, subnets: [] }
const IPAM = { config: (spot: Spot) => spot.items().map(subnet) }
const NAMED = { name: text, external }
const NETWORK = {
  ...NAMED,
  internal: flag,
  enable_ipv6: flag,
  ipam: (spot: Spot) => fields(spot, IPAM, 'driver options'),
}
const FILE = { ...NAMED, file: hostFile, environment: text, content: text }

/** Reads an entry with its name in Docker. */
function named<T extends typeof NAMED>(spot: Spot, table: T, notDone: string) {
  const given = fields(spot, table, notDone)
  const key = spot.path.replace(/^\w+\./, '')
  const { name = given.external === true ? key : `${spot.reading.project}_${key}` } = given as { name?: string }
  return { external: false, ...given, name }
}

function network(spot: Spot) {
  const { ipam, ...rest } = named(spot, NETWORK, 'attachable driver driver_opts enable_ipv4 labels')
  return { ...PLAIN_NETWORK, ...rest, subnets: ipam?.config ?? [] }
}

function file(spot: Spot) {
  const given = named(spot, FILE, 'driver driver_opts labels template_driver')
  return { ...given, content: spot.reading.variables.get(given.environment ?? '') ?? given.content }
}
const PROJECT = {
  version: text,
  name: text,
  include: (spot: Spot) => spot.isList,
  services: dictionary(readService),
  networks: dictionary(network),
  volumes: dictionary((spot) => named(spot, NAMED, 'driver driver_opts labels')),
  secrets: dictionary(file),
  configs: dictionary(file),
}

/** The files of a project: the given files, with the usual ones of a folder in its place. */
async function filesOf(paths: readonly string[], read: ComposeReader): Promise<readonly string[]> {
  const [folder = '.', ...others] = paths
  if ((await read(folder)) !== undefined) return paths
  const firstOf = async (names: readonly string[]): Promise<string[]> => {
    for (const one of names) if ((await read(joined(folder, one))) !== undefined) return [joined(folder, one)]
    return []
  }
  const found = await firstOf(NAMES)
  if (found.length === 0) failIn(folder, 'ERR_FILE', `there is no such file, and no folder with ${NAMES.join(', ')}`)
  return [...found, ...(await firstOf(NAMES.map((one) => one.replace('.y', '.override.y')))), ...others]
}

/** Reads the variables of the project. Variables of the host have precedence over environment files. */
async function readVariables(loader: Loader, folder: string, options: ReadComposeOptions): Promise<void> {
  const { variables } = loader
  const host = Object.entries(options.environment ?? {}).filter((one): one is [string, string] => one[1] !== undefined)
  for (const path of options.envFiles ?? [joined(folder, '.env')]) {
    const values = await loader.environment(path, new Map([...variables, ...host]))
    if (values === undefined && options.envFiles !== undefined) failIn(path, 'ERR_FILE', 'there is no such file')
    for (const [name, value] of values ?? []) variables.set(name, value)
  }
  for (const [name, value] of host) variables.set(name, value)
  if (options.name !== undefined) variables.set('COMPOSE_PROJECT_NAME', options.name)
}

/** Throws an error at the place of a key. */
type Fail = (key: string, reason: string, code?: ComposeErrorCode) => never

/** Finds the services that do not run. @returns reasons by name */
function leftOutOf(
  services: ReadonlyMap<string, ComposeService>,
  profiles: readonly string[],
  only: readonly string[] | undefined,
  fail: Fail,
): Map<string, string> {
  const runs = new Set<string>()
  const add = (name: string): void => {
    const service = services.get(name)
    if (service === undefined || runs.has(name)) return
    runs.add(name)
    for (const other of neededBy(service)) add(other)
  }
  for (const name of only ?? []) {
    if (!services.has(name)) fail('services', `there is no service ${name}`)
    add(name)
  }
  const leftOut = new Map<string, string>()
  for (const [name, { profiles: own = [] }] of services) {
    const isOn = own.length === 0 || own.some((one) => profiles.includes(one) || profiles.includes('*'))
    if (only === undefined ? isOn : runs.has(name)) continue
    const reason = isOn ? 'no service that was asked for needs it' : `its profiles are not enabled: ${own.join(', ')}`
    leftOut.set(name, reason)
  }
  for (const [name, { dependsOn }] of services)
    for (const [other, { required }] of (leftOut.has(name) ? undefined : dependsOn) ?? []) {
      if (!required || (services.has(other) && !leftOut.has(other))) continue
      const key = `services.${name}.depends_on.${other}`
      if (services.has(other)) fail(key, `${other} is left out: ${leftOut.get(other)}`)
      fail(key, `there is no service ${other}`)
    }
  return leftOut
}

/** Names of the services that a service needs. */
function neededBy({ dependsOn, networkMode = '' }: ComposeService): string[] {
  return [...(dependsOn?.keys() ?? []), ...(networkMode.startsWith('service:') ? [networkMode.slice(8)] : [])]
}

/** Checks that names exist, that no services wait for each other, and that addresses fit. */
function checkProject({ services, networks, ...others }: ComposeProject, fail: Fail): void {
  for (const [name, { image, build, networkMode = '', volumes, secrets, configs, ...service }] of services) {
    const shared = /^service:(.*)/.exec(networkMode)?.[1]
    const at = `services.${name}`
    if (shared !== undefined && !services.has(shared)) fail(`${at}.network_mode`, `there is no service ${shared}`)
    if (image === undefined && build === undefined)
      fail(at, 'the service has neither an image nor a build', 'ERR_VALUE')
    if (networkMode !== '' && service.networks.size > 0)
      fail(at, 'both network_mode and networks are given', 'ERR_VALUE')
    const used = { volumes: volumes.filter(({ type }) => type === 'volume'), secrets, configs }
    for (const kind of ['volumes', 'secrets', 'configs'] as const)
      for (const { source } of used[kind])
        if (source !== undefined && !others[kind].has(source)) fail(`${at}.${kind}`, `there is no ${source} in ${kind}`)
  }
  for (const [network, { subnets }] of networks)
    for (const { subnet } of subnets)
      if (prefixOf(subnet) === undefined)
        fail(`networks.${network}.ipam`, `"${subnet}" is not a subnet, such as 10.0.0.0/24`, 'ERR_ADDRESS')
  checkAddresses(services, networks, fail)
  checkCycles(services, fail)
}

function checkAddresses(services: ComposeProject['services'], networks: ComposeProject['networks'], fail: Fail): void {
  const taken = new Map<string, string>()
  for (const [name, service] of services)
    for (const [network, { ipv4Address, ipv6Address }] of service.networks) {
      const key = `services.${name}.networks.${network}`
      const { subnets, external } = networks.get(network) ?? fail(key, `there is no network ${network}`)
      for (const [given, length] of [
        [ipv4Address, 32],
        [ipv6Address, 128],
      ] as const) {
        if (given === undefined) continue
        const bits = bitsOf(given)
        if (bits?.length !== length) return fail(key, `"${given}" is not an address of this kind`, 'ERR_ADDRESS')
        const isInside = subnets.some(({ subnet }) => prefixOf(subnet)?.test(bits))
        if (!isInside && !external) fail(key, `${given} is in no subnet of the network`, 'ERR_ADDRESS')
        const holder = service.scale > 1 ? `each of its ${service.scale} containers` : taken.get(`${network} ${bits}`)
        if (holder !== undefined) fail(key, `${given} is also the address of ${holder}`, 'ERR_ADDRESS')
        taken.set(`${network} ${bits}`, name)
      }
    }
}

/** The bits of an address as text, 32 or 128; undefined for other texts. */
function bitsOf(given: string): string | undefined {
  const isIpv6 = given.includes(':')
  const [digits, radix, width] = isIpv6 ? ([/^[\da-f]{1,4}$/i, 16, 16] as const) : ([/^\d{1,3}$/, 10, 8] as const)
  // `::` stands for the zeros that are missing.
  const [before = [], after, ...rest] = given
    .split('::')
    .map((side) => (side === '' ? [] : side.split(isIpv6 ? ':' : '.')))
  const zeros = (isIpv6 ? 8 : 4) - before.length - (after?.length ?? 0)
  if (rest.length > 0 || (after === undefined ? zeros !== 0 : zeros < 1)) return undefined
  const parts = [...before, ...new Array<string>(zeros).fill('0'), ...(after ?? [])]
  const bits = parts.map((part) =>
    digits.test(part) ? Number.parseInt(part, radix).toString(2).padStart(width, '0') : '',
  )
  return bits.every((part) => part.length === width) ? bits.join('') : undefined
}

/** Matches the bits of the addresses in a subnet. */
function prefixOf(subnet: string): RegExp | undefined {
  const [, address = '', length = ''] = /^(.*)\/(\d{1,3})$/.exec(subnet) ?? []
  const bits = bitsOf(address)
  if (bits === undefined || Number(length) > bits.length) return undefined
  return new RegExp(`^${bits.slice(0, Number(length))}.{${bits.length - Number(length)}}$`)
}

function checkCycles(services: ReadonlyMap<string, ComposeService>, fail: Fail): void {
  const done = new Set<string>()
  const visit = (name: string, chain: readonly string[]): void => {
    const cycle = [...chain.slice(chain.indexOf(name)), name].join(', ')
    if (chain.includes(name)) fail(`services.${name}.depends_on`, `services wait for each other: ${cycle}`, 'ERR_CYCLE')
    for (const other of done.has(name) ? [] : neededBy(services.get(name) as ComposeService))
      visit(other, [...chain, name])
    done.add(name)
  }
  for (const name of services.keys()) visit(name, [])
}
