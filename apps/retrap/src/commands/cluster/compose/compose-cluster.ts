/** Makes a cluster of a Compose file, with a machine for each container. */
import { statSync } from 'node:fs'
import { basename } from 'node:path'
import type { ClusterInput, MachineInput, PlacedMachine, TestCommand } from '@retrap/cluster'
import type { ComposeProject } from '@retrap/compose'
import { CliError } from '@retrap/linux-guest/errors'
import { LIMITS } from '../../../jobs/linux-place.ts'
import { type FoundImage, type Mounts, readImage } from './templates.ts'

type Service = ComposeProject['services'] extends ReadonlyMap<string, infer One> ? One : never
type Mount = Service['volumes'][number]
type PlacedFile = NonNullable<PlacedMachine['files']>[string]

/** A line about a part of a Compose file, and the service that it is of. */
export interface ComposeLine {
  readonly service: string
  readonly text: string
}

/** A cluster as a Compose file describes it. */
export interface ComposedCluster {
  readonly input: ClusterInput
  /** Sentences about parts of the file that are not done as Docker does them. */
  readonly lines: readonly ComposeLine[]
}

/** RAM of a machine whose service has no limit, the least RAM of one that has a limit, and the share of the kernel. */
const USUAL_MIB = 512
const LEAST_MIB = 256
const KERNEL_MIB = 96
const MOST_MIB = 3584
/** The size of a disk for volumes: space that nobody writes takes no memory. */
const DISK = '4G'
/** Where a machine has the disk of its volumes, beside the paths of these. */
const DISK_PATH = '/.volumes'
/** Faults without a wish of the file's: each kind that hits a cluster in operation. */
const FAULTS = {
  for: '60s',
  heal: '20s',
  partition: { every: '20s', for: '4s' },
  loss: { every: '30s', for: '4s', amount: 0.1 },
  delay: { every: '30s', for: '4s', amount: '50ms' },
  power: { every: '30s', for: '2s' },
  hang: { every: '30s', for: '2s' },
  clock: { every: '60s', for: '5s', amount: '2s' },
} as const
/** Permissions of a config or secret, unless its use has others. */
const USUAL_MODE = 0o444
/** The wishes for pulls that are done. */
const POLICIES: ReadonlySet<unknown> = new Set(['always', 'missing', 'if_not_present', 'never', undefined])
/** Docker's word for the address of the host. */
const GATEWAY = 'host-gateway'
/** The label of services that faults spare. */
const SPARED = 'com.antithesis.exclude_from_faults'

/** Services that share a machine: the first is the machine, and the others are containers in it. */
interface Group {
  readonly services: ReadonlyMap<string, Service>
  readonly owner: string
  /** The volumes for which they do. */
  readonly volumes: readonly string[]
}

/** The parts of a composed cluster. */
export interface ComposeParts {
  readonly project: ComposeProject
  /** Finds the path of an image of a service. @throws CliError */
  readonly findImage: (name: string, service: Service) => Promise<string | undefined>
  /** Without faults, for as long as they would come. */
  readonly isQuiet: boolean
}

/** Makes a cluster of a project. @throws CliError `ERR_INPUT` for a key that a cluster cannot do, with file and line */
export async function composeCluster(parts: ComposeParts): Promise<ComposedCluster> {
  const composer = new Composer(parts)
  const machines: MachineInput[] = []
  for (const [name, service] of parts.project.services) machines.push(await composer.machine(name, service))
  return { input: composer.cluster(machines), lines: composer.lines }
}

class Composer {
  readonly lines: ComposeLine[] = []
  readonly #parts: ComposeParts
  /** Services with a machine in common, by their names. */
  readonly #groups = new Map<string, Group>()
  /** Volumes of which each service has a copy. */
  readonly #copied: ReadonlySet<string>
  /** The images with their mounts, and the templates of the cluster. */
  readonly #found = new Map<string, Promise<FoundImage>>()
  readonly #templates: Record<string, TestCommand[]> = {}

  constructor(parts: ComposeParts) {
    this.#parts = parts
    const copied = new Set([...parts.project.volumes.keys()].filter((volume) => this.#isCopied(volume)))
    for (const volume of parts.project.volumes.keys()) if (!copied.has(volume)) this.#group(volume)
    // Services that share a machine for another volume have one folder for this one.
    const isOfOneMachine = (volume: string): boolean => {
      const groups = this.#usersOf(volume).flatMap((name) => {
        const group = this.#groups.get(name)
        return group === undefined ? [] : Array.from({ length: group.services.get(name)!.scale }, () => group)
      })
      return new Set(groups).size < groups.length
    }
    for (let found; (found = [...copied].find(isOfOneMachine)) !== undefined; copied.delete(found)) this.#group(found)
    this.#copied = copied
  }

  #usersOf(volume: string): readonly string[] {
    const all = [...this.#parts.project.services]
    const mounts = ([, { volumes }]: (typeof all)[number]): boolean =>
      volumes.some(({ type, source }) => type === 'volume' && source === volume)
    return all.filter(mounts).map(([name]) => name)
  }

  /** Whether a service starts after another one has completed. */
  #awaits(name: string, other: string): boolean {
    const { services } = this.#parts.project
    return [...(services.get(name)?.dependsOn ?? [])].some(
      ([one, { condition, required }]) =>
        required && ((one === other && condition === 'service_completed_successfully') || this.#awaits(one, other)),
    )
  }

  /** The services with a volume that others with the volume await, of one service or of all. */
  #writersOf(volume: string, by?: string): readonly string[] {
    const users = this.#usersOf(volume)
    return users.filter((one) => (by === undefined ? users : [by]).some((other) => this.#awaits(other, one)))
  }

  /** Makes one group of a volume's services, and of their groups by other volumes. */
  #group(volume: string): void {
    const all = [...this.#parts.project.services]
    const mounted = this.#usersOf(volume)
    const users = all.filter(([name]) => mounted.includes(name))
    if (users.reduce((sum, [, { scale }]) => sum + scale, 0) < 2) return
    const before = [...new Set(users.flatMap(([name]) => this.#groups.get(name) ?? []))]
    const isOf = (name: string): boolean =>
      users.some(([one]) => one === name) || before.some(({ services }) => services.has(name))
    const services = new Map(all.filter(([name]) => isOf(name)))
    const names = [...services.keys()]
    const [owner] = [...services].find(([, { scale }]) => scale === 1) ?? []
    const isOfOneKind = new Set([...services.values()].map(archOf)).size === 1
    const lacks = owner === undefined ? 'of them without replicas, whose machine it is' : 'platform'
    if (owner === undefined || !isOfOneKind)
      throw this.#refusal(
        names[0]!,
        'volumes',
        `${volume}: ${names.join(', ')} share it, and so a machine: expected one ${lacks}`,
      )
    const group = { services, owner, volumes: [...before.flatMap((one) => one.volumes), volume] }
    for (const name of names) this.#groups.set(name, group)
  }

  /** Whether each service has a copy of a volume of its own: all others await each that others await. */
  #isCopied(volume: string): boolean {
    const users = this.#usersOf(volume)
    const writers = this.#writersOf(volume)
    const isBefore = (one: string, other: string): boolean => one === other || this.#awaits(other, one)
    const isWritten = (writer: string, user: string): boolean =>
      isBefore(writer, user) || (writers.includes(user) && this.#awaits(writer, user))
    const isAlone = (writer: string): boolean => this.#parts.project.services.get(writer)!.scale === 1
    return writers.length > 0 && writers.every((one) => isAlone(one) && users.every((user) => isWritten(one, user)))
  }

  /** The service whose copy of a volume a service gets: the last one that it awaits. */
  #sourceOf(volume: string, name: string): string | undefined {
    const awaited = this.#copied.has(volume) ? this.#writersOf(volume, name) : []
    return awaited.find((one) => awaited.every((other) => other === one || this.#awaits(one, other)))
  }

  cluster(machines: readonly MachineInput[]): ClusterInput {
    const { project, isQuiet } = this.#parts
    const networks = Object.fromEntries(
      [...project.networks].map(([name, { subnets, enableIpv6: ipv6 }]) => {
        const of = (mark: string): string | undefined => subnets.find(({ subnet }) => subnet.includes(mark))?.subnet
        const [subnet4, subnet6] = [of('.'), of(':')]
        return [name, { ...(subnet4 && { subnet4 }), ...(subnet6 && { subnet6 }), ...(ipv6 && { ipv6 }) }]
      }),
    )
    const { network, faults = FAULTS, workload: wished, limit } = this.#wishes()
    const hasTemplates = Object.keys(this.#templates).length > 0
    const workload = hasTemplates ? { setup: 'setup-complete' as const, templates: this.#templates, ...wished } : wished
    return {
      machines,
      resolver: true,
      ...(project.networks.size > 0 && { networks }),
      ...(network !== undefined && { network }),
      ...(workload !== undefined && { workload }),
      faults: isQuiet ? { for: faults.for ?? FAULTS.for, heal: '0s' } : this.#sparing(faults),
      ...(limit !== undefined && { limit }),
    }
  }

  /** The parts of a `cluster.json` that the file has in `x-retrap`. */
  #wishes(): Partial<ClusterInput> {
    return (this.#parts.project.extensions.get('x-retrap') ?? {}) as Partial<ClusterInput>
  }

  /** Keeps faults from services that are excluded from them. */
  #sparing(faults: NonNullable<ClusterInput['faults']>): NonNullable<ClusterInput['faults']> {
    const { services } = this.#parts.project
    const isSpared = ({ labels }: Service): boolean => ['true', '1', ''].includes(labels.get(SPARED) ?? 'false')
    const spared = [...services].filter(([, one]) => isSpared(one)).map(([name]) => name)
    if (spared.length === 0) return faults
    const machines = [...services].flatMap(([name, one]) => (isSpared(one) ? [] : namesOf(name, one)))
    if (machines.length === 0) return { for: faults.for ?? FAULTS.for }
    return Object.fromEntries(
      Object.entries(faults).map(([kind, wish]) => [
        kind,
        typeof wish === 'object' && !Array.isArray(wish) && !('machines' in wish) ? { ...wish, machines } : wish,
      ]),
    ) as NonNullable<ClusterInput['faults']>
  }

  async machine(name: string, service: Service): Promise<MachineInput> {
    const say = (text: string): void => void this.lines.push({ service: name, text })
    const image = await this.#image(name, service, say)
    for (const [key, isThere, why] of this.#ignored(service)) if (isThere) say(`${key}: ${why}`)
    const group = this.#groups.get(name)
    const mounts = this.#mounts(name, service, say)
    const arch = archOf(service)
    const { healthcheck, templates } = await this.#read(image, arch, mounts)
    this.#addTemplates(namesOf(name, service), templates)
    const own = service.extensions.get('x-retrap') as Partial<MachineInput> | undefined
    const health = healthOf(service, healthcheck)
    const hosts: Record<string, string[]> = {}
    for (const { host, address } of service.extraHosts) if (address !== GATEWAY) (hosts[host] ??= []).push(address)
    const { networkMode } = service
    if (networkMode !== undefined && !['none', 'bridge'].includes(networkMode))
      throw this.#refusal(name, 'network_mode', `${networkMode}: each service is a machine with a network of its own`)
    if (group !== undefined) {
      const { owner, services, volumes } = group
      const all = `${[...services.keys()].join(', ')} share the machine of ${owner}`
      say(
        `volumes: for ${volumes.join(', ')} ${all}, as containers: crash, power, clock, drift and disk faults hit all`,
      )
    }
    if (service.cpus !== undefined && service.cpus % 1 !== 0) say(`cpus: ${service.cpus} is rounded up`)
    const { attempts } = service.restart
    const limits = [...service.ulimits].filter(([limit]) => Object.hasOwn(LIMITS, limit))
    return {
      name,
      ...(service.scale > 1 && { count: service.scale }),
      ...(service.hostname !== undefined && { hostname: service.hostname }),
      aliases: [...(service.scale > 1 ? [name] : []), ...[service.containerName ?? []].flat()],
      ...(Object.keys(hosts).length > 0 && { hosts }),
      ...(group === undefined || group.owner === name
        ? { arch, ...sizeOf([...(group?.services.values() ?? [service])], say) }
        : { inside: group.owner }),
      image,
      // As docker has it: an entrypoint drops the image's command, and a command keeps the image's entrypoint.
      entrypoint: service.entrypoint ?? (service.command?.length === 0 ? 'image-alone' : 'image'),
      ...(service.command !== undefined && { command: service.command }),
      ...(service.workingDir !== undefined && { workingDirectory: service.workingDir }),
      env: Object.fromEntries(service.environment),
      ...(service.user !== undefined && { user: service.user }),
      after: [...service.dependsOn].map(([machine, { condition, required }]) => ({
        ...{ machine, required },
        when: ({ service_started: 'started', service_healthy: 'healthy' } as const)[condition as string] ?? 'completed',
      })),
      ...(health !== undefined && { health }),
      restart: attempts === undefined ? service.restart.policy : `${service.restart.policy}:${attempts}`,
      ...(networkMode === 'none' ? { network: 'none' as const } : { networks: networksOf(service) }),
      ...mounts,
      ...(service.readOnly && { readOnly: true }),
      ...(limits.length > 0 && {
        ulimits: Object.fromEntries(limits.map(([limit, { soft, hard }]) => [limit, [soft, hard] as const])),
      }),
      ...(service.shmSize !== undefined && { shmSize: `${service.shmSize}` }),
      ...(service.sysctls.size > 0 && { sysctls: Object.fromEntries(service.sysctls) }),
      ...own,
    }
  }

  async #image(name: string, service: Service, say: (text: string) => void): Promise<string> {
    const { image, build } = service
    const tag = image ?? build!.tag
    const path = await this.#parts.findImage(tag, service).catch((error: unknown) => {
      throw error instanceof CliError ? this.#refusal(name, 'image', error.message) : error
    })
    if (path !== undefined) {
      if (build !== undefined) say(`build: the image ${tag} is taken as it is`)
      return path
    }
    const from = build === undefined ? [] : ['-f', `${build.context}/${build.dockerfile}`]
    const target = build?.target === undefined ? [] : ['--target', build.target]
    const command =
      build === undefined ? `docker pull ${tag}` : ['docker build -t', tag, ...from, ...target, build.context].join(' ')
    throw this.#refusal(
      name,
      build === undefined ? 'image' : 'build',
      `there is no image ${tag} on this host: ${command}; or put it into a folder, as an archive of docker save or an OCI layout, for --images`,
    )
  }

  /** Reads an image, with folders and files that are mounted in it. */
  #read(image: string, arch: string, mounts: Mounts): Promise<FoundImage> {
    const key = JSON.stringify([image, arch, mounts.share, mounts.files])
    const found = this.#found.get(key) ?? readImage(image, arch === 'arm64' ? arch : 'amd64', mounts)
    this.#found.set(key, found)
    return found
  }

  /** Adds the commands of an image: each replica has them. Templates of the file replace them. */
  #addTemplates(names: readonly string[], found: FoundImage['templates']): void {
    if (this.#wishes().workload?.templates !== undefined) return
    for (const [template, commands] of Object.entries(found))
      for (const on of names) (this.#templates[template] ??= []).push(...commands.map((one) => ({ ...one, on })))
  }

  /** Keys that mean nothing for a cluster, and why. */
  #ignored(service: Service): readonly (readonly [key: string, isThere: boolean, why: string])[] {
    const others = [...service.ulimits.keys()].filter((limit) => !Object.hasOwn(LIMITS, limit))
    return [
      ['ports', service.ports.length > 0, 'nothing of a cluster is reached from this host'],
      ['logging', service.logging !== undefined, 'a cluster prints what its programs print'],
      ['labels', [...service.labels.keys()].some((key) => key !== SPARED), `of labels only ${SPARED} counts`],
      ['pull_policy', !POLICIES.has(service.pullPolicy), 'counts as `missing`'],
      ['privileged', service.privileged || service.capAdd.length > 0, 'a program has a machine for itself'],
      ['stop_signal', service.stopSignal !== undefined, 'faults end machines, and no signal stops a program'],
      [
        'extra_hosts',
        service.extraHosts.some(({ address }) => address === GATEWAY),
        `${GATEWAY}: no machine is this host`,
      ],
      ['ulimits', others.length > 0, `${others.join(', ')}: left as the guest has them`],
    ]
  }

  /** Folders, files and volumes. A machine has one disk for all of its volumes. */
  #mounts(name: string, { volumes, tmpfs, secrets, configs, scale }: Service, say: (text: string) => void): Mounts {
    const { project } = this.#parts
    const share: string[] = []
    const files: Record<string, PlacedFile> = {}
    const memory = tmpfs.map(({ target, options }) => (options === '' ? target : `${target}:${options}`))
    const folders: Record<string, string> = {}
    const group = this.#groups.get(name)
    const kinds: Readonly<Record<string, (mount: Mount) => void>> = {
      bind: ({ source = '', target, readOnly, createHostPath }) => {
        if (!isThere(source)) {
          if (!createHostPath) throw this.#refusal(name, 'volumes', `there is no ${source} on this host`)
          say(`volumes: there is no ${source} on this host: ${target} is an empty folder in memory`)
          return void memory.push(target)
        }
        share.push(`${source}:${target}${readOnly ? '' : ':copy'}`)
        if (!readOnly)
          say(`volumes: ${target} is a copy of ${source}: what it writes is its own, and is lost with its memory`)
      },
      volume: ({ source, target, subpath }) => {
        if (subpath !== undefined) throw this.#refusal(name, 'volumes', `subpath ${subpath}: expected the whole volume`)
        const anonymous = `${group === undefined ? '' : `${name}-`}anonymous-${Object.keys(folders).length + 1}`
        // Replicas in one machine have one name for it.
        if (source === undefined && group !== undefined && scale > 1) memory.push(target)
        else folders[target] = source ?? anonymous
      },
      tmpfs: ({ target, size, mode }) =>
        memory.push(
          [target, [size && `size=${size}`, mode && `mode=${mode.toString(8)}`].filter(Boolean).join(',')]
            .filter(Boolean)
            .join(':'),
        ),
    }
    for (const mount of volumes) {
      const add = kinds[mount.type]
      if (add === undefined) throw this.#refusal(name, 'volumes', `${mount.type}: expected bind, volume or tmpfs`)
      add(mount)
    }
    for (const [key, all, uses] of [
      ['secrets', project.secrets, secrets],
      ['configs', project.configs, configs],
    ] as const)
      for (const { source, target, mode, uid = 0, gid = 0 } of uses) {
        const { file, content } = all.get(source) ?? {}
        if (file !== undefined) {
          if (!isThere(file)) throw this.#refusal(name, key, `${source}: there is no ${file} on this host`)
          share.push(`${file}:${target}`)
          if (mode !== USUAL_MODE || uid > 0 || gid > 0)
            say(`${key}: ${target} has the owner and permissions of ${file}, as in docker: no mode, uid and gid`)
        } else if (content !== undefined)
          files[target] = { text: content, mode: `0${mode.toString(8)}`, owner: `${uid}:${gid}` }
        else throw this.#refusal(name, key, `${source}: expected a file, a variable that is set, or a content`)
      }
    const copies: Record<string, string> = {}
    for (const volume of new Set(Object.values(folders))) {
      const source = this.#sourceOf(volume, name)
      if (source === undefined) continue
      copies[volume] = source
      say(`volumes: ${volume} is a copy of that of ${source}, which has completed: what ${name} writes is its own`)
    }
    const isOnDisk = Object.keys(folders).length > 0
    const whose = group === undefined ? 'a disk of its own' : 'the disk of its machine'
    if (isOnDisk) say(`volumes: ${Object.values(folders).join(', ')} lie on ${whose}, which outlives crashes`)
    return {
      ...(share.length > 0 && { share }),
      ...(isOnDisk && {
        disk: {
          ...((group?.owner ?? name) === name && { size: DISK, path: DISK_PATH }),
          folders,
          ...(Object.keys(copies).length > 0 && { copies }),
        },
      }),
      ...(memory.length > 0 && { tmpfs: memory }),
      ...(Object.keys(files).length > 0 && { files }),
    }
  }

  #refusal(name: string, key: string, reason: string): CliError {
    const { places } = this.#parts.project
    const place = places.get(`services.${name}.${key}`) ?? places.get(`services.${name}`)
    const at = place === undefined ? '' : `${place.file}:${place.line}: `
    return new CliError('ERR_INPUT', `${at}services.${name}.${key}: ${reason}`)
  }
}

const isThere = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined

/** The names of the machines of a service. */
const namesOf = (name: string, { scale }: Service): readonly string[] =>
  scale === 1 ? [name] : Array.from({ length: scale }, (_, i) => `${name}-${i + 1}`)

const networksOf = ({ networks }: Service): NonNullable<MachineInput['networks']> =>
  Object.fromEntries(
    [...networks].map(([network, { aliases, ipv4Address, ipv6Address }]) => [
      network,
      { aliases, ...(ipv4Address && { ipv4: ipv4Address }), ...(ipv6Address && { ipv6: ipv6Address }) },
    ]),
  )

const archOf = ({ platform }: Service): 'arm64' | 'x86-64' =>
  platform?.includes('arm64') === true ? 'arm64' : 'x86-64'

/** RAM and processors of a machine for services: for all of their replicas, and once for its kernel. */
function sizeOf(services: readonly Service[], say: (text: string) => void): Pick<MachineInput, 'memory' | 'cpus'> {
  const parts = services.map(({ memLimit, cpus = 1, scale }) => {
    const mib =
      memLimit === undefined ? USUAL_MIB - KERNEL_MIB : Math.max(LEAST_MIB - KERNEL_MIB, Math.ceil(memLimit / 2 ** 20))
    return { mib, cpus, count: services.length === 1 ? 1 : scale }
  })
  const sum = (key: 'mib' | 'cpus'): number => parts.reduce((total, one) => total + one.count * one[key], 0)
  const mib = sum('mib') + KERNEL_MIB
  if (mib > MOST_MIB) say(`memory: ${mib}M would be its machine's, which has ${MOST_MIB}M at most`)
  return { memory: `${Math.min(MOST_MIB, mib)}M`, cpus: Math.min(8, Math.ceil(sum('cpus'))) }
}

/** The test of a service's health. A part without a value in the service comes from the image, as in Docker. */
function healthOf(service: Service, image: FoundImage['healthcheck']): MachineInput['health'] {
  const all = [service.healthcheck ?? {}, image ?? {}]
  const [kind = '', ...words] = all.find(({ test = [] }) => test.length > 0)?.test ?? []
  if (!/^CMD(-SHELL)?$/.test(kind)) return undefined
  type Part = 'interval' | 'timeout' | 'retries' | 'startPeriod' | 'startInterval'
  const given = (part: Part): number => all.map(({ [part]: one = 0 }) => one).find((one) => one > 0) ?? 0
  const times = (['interval', 'timeout', 'startPeriod', 'startInterval'] as const).filter((part) => given(part) > 0)
  return {
    test: kind === 'CMD-SHELL' ? ['/bin/sh', '-c', words[0] ?? ''] : words,
    ...Object.fromEntries(times.map((part) => [part, `${given(part) / 1e6}ms`])),
    ...(given('retries') > 0 && { retries: given('retries') }),
  }
}

/** A description as text, machine by machine. */
export function configText({ input, lines }: ComposedCluster): string {
  const out: string[] = []
  for (const { name, count, inside, image, entrypoint, command, ...more } of input.machines) {
    const many = count === undefined ? '' : ` (${count} machines)`
    const cpus = `${more.cpus} processor${more.cpus === 1 ? '' : 's'}`
    const place = inside === undefined ? `${more.memory}, ${cpus}` : `inside ${inside}`
    out.push(`${name}${many}: ${basename(image ?? '')}, ${place}`)
    for (const [key, value] of Object.entries({ entrypoint, command, ...more })) {
      if (value === undefined || ['memory', 'cpus'].includes(key)) continue
      if (typeof value === 'object' && Object.keys(value).length === 0) continue
      out.push(`  ${key}: ${JSON.stringify(value)}`)
    }
    for (const { service, text } of lines) if (service === name) out.push(`  - ${text}`)
  }
  const { machines: _machines, workload, ...rest } = input
  const { templates = {}, ...programs } = workload ?? {}
  for (const [key, value] of Object.entries({ ...(workload && { workload: programs }), ...rest }))
    out.push(`${key}: ${JSON.stringify(value)}`)
  for (const [template, commands] of Object.entries(templates)) {
    out.push(`test template ${template}:`)
    for (const { on, command } of commands) out.push(`  ${on}: ${command.join(' ')}`)
  }
  return `${out.join('\n')}\n`
}
