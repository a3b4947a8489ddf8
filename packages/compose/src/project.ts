// A project as a whole: its files, its variables, and its parts with their defaults.
import { checkProject, type Fail, leftOutOf } from './checks.ts'
import { ComposeError } from './errors.ts'
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
