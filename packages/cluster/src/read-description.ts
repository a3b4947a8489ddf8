// The schema of cluster.json, and the reader of descriptions and plans.
import * as z from 'zod'
import type { ClusterInput, FaultInput } from './cluster-input.ts'
import { type ClusterDescription, hasProgram, type PlacedMachine } from './description.ts'
import { faultsOf, type Stretch } from './draw-faults.ts'
import { GENERATOR, type Seed } from './draws.ts'
import { bad, type ClusterError } from './errors.ts'
import { type Fault, FAULT_KINDS, type FaultName, type FaultRate, timeText } from './faults.ts'
import {
  anyTime,
  machine,
  type MachineFields,
  MOST_NS,
  name,
  part,
  program,
  rate,
  subnets,
  time,
} from './machine-schema.ts'
import { placeConditions, placeCopies } from './machine-programs.ts'
import { type NetworkWish, placeMachines } from './networks.ts'
import { MOST_DRIFT } from './active-faults.ts'
import type { ClusterRun } from './run.ts'
import { DRIVING } from './test-commands.ts'

/** RAM with which a Linux guest of ours starts, and that of any machine: the most is what fits into one WebAssembly memory. */
const LEAST_GUEST = 128 * 2 ** 20
const LEAST_MEMORY = 2 ** 20
const MOST_MEMORY = 3584 * 2 ** 20
/** Fields that a machine of its own has no use for. */
const OF_GUESTS = [
  ...(['image', 'root', 'command', 'entrypoint', 'workingDirectory', 'env', 'user', 'share', 'modules'] as const),
  ...([
    'hostname',
    'hosts',
    'after',
    'health',
    'restart',
    'readOnly',
    'tmpfs',
    'ulimits',
    'shmSize',
    'sysctls',
  ] as const),
] as const

/** Fields that a container has no use for. */
const OF_MACHINES = ['machine', 'arch', 'memory', 'cpus', 'modules'] as const

/** Whether a field says anything: an empty text or list does not. */
const isGiven = (value: unknown): boolean =>
  typeof value === 'object' || typeof value === 'string' ? Object.keys(value ?? '').length > 0 : value !== undefined

/** Clocks jump by up to ten years: Linux refuses a date after 2232. Source: Linux, include/linux/time64.h, `timespec64_valid_settod`. */
const MOST_JUMP_NS = 87_600 * 3600e9
/** Faults of a run that are drawn, on average: each is kept, told and tried to do without. */
const MOST_FAULTS = 10_000

const amount = z.union([part, anyTime])

const link = {
  latency: time.prefault('500us').describe('Latency of a frame.'),
  jitter: time.prefault('100us').describe('A frame comes earlier or later by up to this.'),
  bandwidth: rate.optional().describe('Bits a second, such as 100Mbit. Without it a frame takes no time of its own.'),
  loss: part.default(0).describe('The part of frames that is lost, from 0 to 1.'),
}

const kinds = Object.keys(FAULT_KINDS)

/** A kind of faults as a sentence. */
function tellKind(kind: FaultName): string {
  const { about, takesAmount } = FAULT_KINDS[kind]
  const amount = { part: ' `amount`: a part from 0 to 1.', time: ' `amount`: a time.', none: '' }
  return `${about[0]!.toUpperCase()}${about.slice(1)}.${amount[takesAmount ?? 'none']}`
}

const random = z.strictObject({
  every: time.describe('The time between two of them, on average: they come at random.'),
  for: time.describe('How long a fault lasts, on average.'),
  amount: amount.optional().describe('A part from 0 to 1, or a time, for kinds that take one.'),
  machines: z
    .array(z.string())
    .min(1, 'expected some machines')
    .optional()
    .describe('The machines that it may be of. Default: all, but for the one that the workload runs on.'),
})

/** A fault. @param instant - its times: texts with units, or nanoseconds */
const faultAt = <T extends z.ZodType<number>>(instant: T) =>
  z.strictObject({
    kind: z.enum(kinds).describe('One of the kinds of faults.'),
    at: instant.describe('The instant at which it begins, from the one at which faults begin.'),
    for: instant.describe('How long the fault lasts.'),
    machines: z.array(z.string()).optional().describe('The machines that have it; for links: those to and from these.'),
    cut: z
      .array(z.string().regex(/^[^<>]+>[^<>]+$/, "expected 'from>to'"))
      .optional()
      .describe('Of a partition: the links that are cut, each as `from>to`.'),
    amount: z
      .union([z.number().min(0), anyTime])
      .optional()
      .describe('As that of a rate.'),
    lost: z
      .array(
        z.strictObject({
          write: z.int().min(0).describe('The number of the write since the disk was made.'),
          first: z.int().min(0).describe('The first sector of the write that is lost.'),
          count: z.int().min(1).describe('The number of these sectors.'),
        }),
      )
      .optional()
      .describe('Of a power loss: the sectors of writes that are lost. Default: drawn.'),
  })

/** A fault whose times are in nanoseconds. */
export const faultSchema: z.ZodType<Fault> = faultAt(z.number().min(0)) as unknown as z.ZodType<Fault>

/** The stretches of a path. */
export const pathSchema: z.ZodType<readonly Stretch[]> = z.array(
  z.strictObject({
    number: z.int().min(0),
    for: z.number().min(0).max(MOST_NS),
    faults: z.array(faultSchema),
  }),
)

const plan = z.strictObject({
  seed: z.int().min(0).max(0xffff_ffff),
  draws: z.literal(GENERATOR, `expected ${GENERATOR}, or none for a plan of a release before`).optional(),
  branch: z.int().min(0).default(0),
  failure: z.string(),
  madeWith: z.string().optional(),
  faults: z.array(faultSchema).default([]),
  path: pathSchema.optional(),
  mended: z.boolean().default(false),
})

const testCommand = z.strictObject({
  kind: z
    .enum(['first', ...DRIVING, 'eventually', 'finally'])
    .describe('When it runs, as the prefix of its file says it in the Test Composer of Antithesis.'),
  on: z.string().describe('The machine that it runs on.'),
  command: program.describe('A program and its arguments. Another exit code than 0 fails the run.'),
})

const cluster = z.strictObject({
  $schema: z.string().optional().describe('The path of what `retrap cluster schema` prints, for editors.'),
  machines: z
    .array(machine, 'expected a list of machines')
    .min(1, 'expected at least one machine')
    .describe('They start together.'),
  network: z
    .strictObject({
      ...link,
      links: z
        .array(
          z.strictObject({
            between: z.tuple([z.string(), z.string()]).describe('The names of two machines.'),
            ...link,
          }),
        )
        .default([])
        .describe('Links between two machines that are unlike the others.'),
    })
    .prefault({})
    .describe('The links between machines.'),
  networks: subnets
    .optional()
    .describe('Networks by name; `{}` takes free subnets. Machines that share no network do not reach each other.'),
  resolver: z
    .boolean()
    .optional()
    .describe('A resolver in each machine has the names of those that run, as in Docker. Default: /etc/hosts has all.'),
  workload: z
    .strictObject({
      on: z.string().optional().describe('The machine of `setup`, `drivers` and `check`, which drawn faults spare.'),
      setup: z
        .union([z.literal('setup-complete'), program])
        .optional()
        .describe('Gets all ready, before any fault. `setup-complete`: a program of any machine reports that all is.'),
      drivers: z.array(program).default([]).describe('Run while faults come.'),
      check: program.optional().describe('Decides by its exit code, after all is mended.'),
      templates: z
        .record(z.string(), z.array(testCommand))
        .optional()
        .describe('Test templates by name. A run has the commands of one, which is drawn.'),
    })
    .optional()
    .describe('The programs that test the others, each with its arguments.'),
  faults: z
    .strictObject({
      for: time.prefault('30s').describe('The time in which faults come.'),
      heal: time.prefault('10s').describe('The time between the last fault and the check.'),
      list: z.array(faultAt(time)).default([]).describe('Faults that come whatever is drawn.'),
      ...Object.fromEntries(kinds.map((kind) => [kind, random.optional().describe(tellKind(kind as FaultName))])),
    })
    .prefault({})
    .describe('The faults that come. Without a rate of its kind none is drawn.'),
  limit: time.prefault('10m').describe("The cluster's time in which a run has to end."),
})

/** The kinds of faults that programs of ours make in a guest. */
const OUR_FAULTS: ReadonlySet<string> = new Set(['drift', 'memory', 'full'])

/**
 * Reads the description of a cluster, such as the contents of `cluster.json`.
 *
 * @throws ClusterError `ERR_CLUSTER`, whose sentence names the field
 */
export function readCluster(value: unknown): ClusterDescription {
  const { success, data, error } = cluster.safeParse(value)
  if (!success) throw unfit(error.issues[0]!, value)
  const { networks = {}, ...others } = data
  const machines = readMachines(data.machines, networks, (value as ClusterInput).machines)
  const { for: lasts, heal, list, ...rates } = data.faults
  const description: ClusterDescription = {
    ...others,
    machines,
    faults: {
      ...{ for: lasts, heal, list: list as readonly Fault[] },
      rates: Object.fromEntries(Object.entries(rates).filter(([, rate]) => rate !== undefined)) as Partial<
        Record<FaultName, FaultRate>
      >,
    },
  }
  requireMachines(description)
  const { faults: given = {} } = value as ClusterInput
  requireFaults('faults.list', list as readonly Fault[], description, given.list)
  let count = list.length
  for (const [kind, rate] of Object.entries(description.faults.rates)) {
    const { limit } = description
    requireAmount(`faults.${kind}`, kind as FaultName, rate.amount, { limit, given: given[kind as FaultName]?.amount })
    count += lasts / rate.every
    if (count > MOST_FAULTS)
      throw bad(
        `faults.${kind}.every`,
        `so a run has more than ${MOST_FAULTS} faults: expected ${timeText(lasts / MOST_FAULTS)} or more`,
      )
    const tested = machines.filter(({ name }) => name !== data.workload?.on)
    const drawn = FAULT_KINDS[kind as FaultName].place === 'disk' ? tested.filter(({ disk }) => disk) : tested
    const usual = OUR_FAULTS.has(kind) ? drawn.map(({ name }) => name) : []
    requirePlaces(`faults.${kind}`, kind as FaultName, rate.machines ?? usual, description)
    if (FAULT_KINDS[kind as FaultName].place === 'disk' && machines.every(({ disk }) => disk === undefined))
      throw bad(`faults.${kind}`, 'no machine has a disk')
  }
  return description
}

/** Makes of the machines of a description each by itself, with its number and its networks. @throws ClusterError `ERR_CLUSTER` */
function readMachines(
  given: readonly MachineFields[],
  networks: Readonly<Record<string, NetworkWish>>,
  inputs: ClusterInput['machines'],
): readonly PlacedMachine[] {
  const wished = given.flatMap(({ count, ...one }, i) => {
    const path = `machines[${i}]`
    requireSound(path, one)
    if (one.inside !== undefined) requireInside(path, one, given, inputs[i]!)
    const all = Array.from({ length: count }, (_, k) => ({
      ...one,
      name: count === 1 ? one.name : `${one.name}-${k + 1}`,
    }))
    const { error } = name.safeParse(all.at(-1)!.name)
    if (error !== undefined) throw bad(`${path}.name`, `${all.at(-1)!.name}: ${error.issues[0]!.message}`)
    return all.map((machine) => ({ machine, kind: one.name }))
  })
  const wishes = wished.map(({ machine }) => machine)
  // Names of hosts are the same in capitals and small letters.
  const names = wishes.map(({ name }) => name.toLowerCase())
  const twice = wishes.find((_, i) => names.indexOf(names[i]!) !== i)
  if (twice !== undefined) throw bad('machines', `two of them have the name ${twice.name}`)
  const places = placeMachines(networks, wishes)
  const machines = wishes.map(({ network: __, ...machine }, number) => {
    const { arch, memory, cpus, disk } = wishes.find(({ name }) => name === machine.inside) ?? machine
    const shared = {
      ...(disk && { disk: { ...disk, folders: machine.disk?.folders, copies: machine.disk?.copies } }),
      arch,
      memory,
      cpus,
    }
    return { ...machine, ...(machine.inside !== undefined && shared), number, networks: places[number]! }
  })
  const kinds = wished.map(({ kind }) => kind)
  return placeConditions(placeCopies(machines), kinds)
}

/** @throws ClusterError `ERR_CLUSTER` for a machine whose fields do not go together */
function requireSound(path: string, machine: Omit<MachineFields, 'count'>): void {
  const { name, inside, memory, image, root, disk, machine: own } = machine
  const least = own === undefined ? LEAST_GUEST : LEAST_MEMORY
  if (memory < least || memory > MOST_MEMORY)
    throw bad(`${path}.memory`, `expected ${least / 2 ** 20}M to ${MOST_MEMORY / 2 ** 20}M (machine ${name})`)
  if (inside === undefined && disk?.size === 0) throw bad(`${path}.disk`, `expected its size (machine ${name})`)
  if (image !== undefined && root !== undefined) throw bad(path, 'it has an image and a root: expected one of them')
  const guests = OF_GUESTS.find((key) => own !== undefined && isGiven(machine[key]))
  if (guests !== undefined)
    throw bad(`${path}.${guests}`, 'a machine of its own starts its programs itself: leave it out')
  const ofProgram = (['health', 'restart'] as const).find((key) => machine[key] !== undefined && !hasProgram(machine))
  if (ofProgram !== undefined)
    throw bad(`${path}.${ofProgram}`, `${name} has no program: expected \`command\` or \`entrypoint\``)
}

/** @throws ClusterError `ERR_CLUSTER` for a container without its machine, or with a machine's fields */
function requireInside(
  path: string,
  { name, inside, disk }: Omit<MachineFields, 'count'>,
  machines: readonly MachineFields[],
  input: ClusterInput['machines'][number],
): void {
  const host = machines.find((other) => other.name === inside && other.count === 1)
  if (host === undefined || host.inside !== undefined || host.machine !== undefined)
    throw bad(`${path}.inside`, `${inside}: expected the name of a machine that is no container, and none of its own`)
  const own = OF_MACHINES.find((key) => input[key] !== undefined)
  if (own !== undefined) throw bad(`${path}.${own}`, `${name} has that of ${inside}, which it is inside: leave it out`)
  if (disk !== undefined && (disk.size > 0 || host.disk?.format !== 'ext4'))
    throw bad(`${path}.disk`, `${name} is inside ${inside}: expected only \`folders\`, of the disk that ${inside} has`)
}

/** A failure of a cluster: the seed, the branch or the path, and the faults that are needed for it. */
export interface Plan extends Pick<ClusterRun, 'seed' | 'branch' | 'madeWith' | 'draws' | 'path' | 'mended'> {
  /** Why it has failed. */
  readonly failure: string
  /** Of a branch, in nanoseconds. The faults of a path are in its stretches. */
  readonly faults: readonly Fault[]
}

/** The seed of a plan, with its generator of draws. */
export const seedOfPlan = ({ seed, draws }: Pick<Plan, 'seed' | 'draws'>): Exclude<Seed, string> =>
  draws === undefined ? { mix32: seed } : seed

/** Reads a plan for a cluster. @throws ClusterError `ERR_CLUSTER`, whose sentence names the field */
export function readPlan(value: unknown, description: ClusterDescription): Plan {
  const { success, data, error } = plan.safeParse(value)
  if (!success) throw unfit(error.issues[0]!)
  const read = data as Plan
  const { path } = read
  requireFaults('faults', path === undefined ? read.faults : faultsOf(path), description)
  return read
}

function requireMachines({ machines, network, workload }: ClusterDescription): void {
  for (const [i, { between }] of network.links.entries()) {
    for (const one of between) requireMachine(`network.links[${i}].between`, one, machines)
    if (between[0] === between[1]) throw bad(`network.links[${i}].between`, 'expected two machines')
  }
  if (workload === undefined) return
  const { on, setup = 'setup-complete', drivers, check, templates = {} } = workload
  if (on !== undefined) requireRunner('workload.on', on, machines)
  else if (typeof setup === 'object' || drivers.length > 0 || check !== undefined)
    throw bad('workload.on', 'expected the machine that setup, drivers and check run on')
  for (const [name, commands] of Object.entries(templates)) {
    const path = `workload.templates.${name}`
    for (const [i, one] of commands.entries()) requireRunner(`${path}[${i}].on`, one.on, machines)
    if (!commands.some(({ kind }) => DRIVING.some((one) => one === kind)))
      throw bad(path, `no executable of it runs while faults come: expected one of ${DRIVING.join(', ')}`)
  }
}

/** @throws ClusterError `ERR_CLUSTER` for a machine in which no programs are started */
function requireRunner(path: string, one: string, machines: readonly PlacedMachine[]): void {
  requireMachine(path, one, machines)
  if (machines.some(({ name, machine }) => name === one && machine !== undefined))
    throw bad(path, `${one} is a machine of its own, in which no programs are started: expected another`)
}

/** @throws ClusterError `ERR_CLUSTER` for the name of a machine that does not exist */
function requireMachine(path: string, one: string, machines: readonly PlacedMachine[]): void {
  const names = machines.map(({ name }) => name)
  if (!names.includes(one)) throw bad(path, `there is no machine ${one}: expected one of ${names.join(', ')}`)
}

/** @throws ClusterError `ERR_CLUSTER` for faults that come too late, of machines that do not exist, or without what their kind needs */
function requireFaults(
  path: string,
  list: readonly Fault[],
  { machines, faults, limit }: ClusterDescription,
  given?: readonly FaultInput[],
): void {
  for (const [i, { kind, at, for: lasts, machines: some = [], cut = [], amount: much, lost }] of list.entries()) {
    const place = `${path}[${i}]`
    for (const one of cut.flatMap((link) => link.split('>'))) requireMachine(place, one, machines)
    requirePlaces(place, kind, some, { machines })
    requireAmount(place, kind, much, given && { limit, given: given[i]?.amount })
    if (FAULT_KINDS[kind].place !== 'links' && some.length === 0)
      throw bad(place, `${kind} is of machines: expected some`)
    if (kind === 'partition' && cut.length === 0) throw bad(place, 'partition: expected the links that are cut')
    if (kind !== 'power' && lost !== undefined) throw bad(place, `lost: ${kind} loses no writes: expected power`)
    if (at + lasts > faults.for)
      throw bad(
        place,
        `it ends ${timeText(at + lasts)} after faults begin: expected ${timeText(faults.for)} at most (faults.for)`,
      )
  }
}

/** @throws ClusterError `ERR_CLUSTER` for a machine that does not exist, or has no disk where the kind is of disks */
function requirePlaces(
  path: string,
  kind: FaultName,
  some: readonly string[] = [],
  { machines }: Pick<ClusterDescription, 'machines'>,
): void {
  for (const one of some) {
    requireMachine(path, one, machines)
    if (OUR_FAULTS.has(kind) && machines.some(({ name, machine }) => name === one && machine !== undefined))
      throw bad(path, `${one} is a machine of its own, which has no ${kind}: name others in \`machines\``)
    const hasDisk = machines.some(({ name, disk }) => name === one && disk !== undefined)
    if (FAULT_KINDS[kind].place === 'disk' && !hasDisk) throw bad(path, `${kind} is of disks, and ${one} has none`)
  }
}

/** @param bounds - the longest time, and the amount as a description has it; a plan is taken as it was found */
function requireAmount(
  path: string,
  kind: FaultName,
  much: number | undefined,
  bounds?: { readonly limit: number; readonly given: unknown },
): void {
  const { takesAmount } = FAULT_KINDS[kind]
  const isTime = takesAmount === 'time'
  const mostTime = kind === 'clock' ? MOST_JUMP_NS : (bounds?.limit ?? Infinity)
  const most = isTime ? mostTime : kind === 'drift' && bounds !== undefined ? MOST_DRIFT : 1
  const isOfSort = bounds === undefined || isTime === (typeof bounds.given === 'string')
  if (takesAmount === undefined ? much === undefined : much !== undefined && much <= most && isOfSort) return
  const sort = isTime ? `a time${most < Infinity ? ` up to ${timeText(most)}` : ''}` : `a part from 0 to ${most}`
  throw bad(`${path}.amount`, `expected ${takesAmount === undefined ? 'none' : sort}`)
}

/** The error for the first field that does not fit: of a field that may be one of several things, what is wrong with the nearest one. */
function unfit(issue: z.core.$ZodIssue, value?: unknown): ClusterError {
  const inner =
    issue.code === 'invalid_union' ? issue.errors.flat().find(({ code }) => code !== 'invalid_type') : undefined
  if (inner !== undefined) return unfit({ ...inner, path: [...issue.path, ...inner.path] }, value)
  const [first, number] = issue.path
  const name = first === 'machines' && (value as Partial<ClusterInput>).machines?.[number as number]?.name
  return bad(fieldOf(issue) || 'the cluster', `${issue.message}${typeof name === 'string' ? ` (machine ${name})` : ''}`)
}

/** Names the field of an issue; empty: the whole value. */
export const fieldOf = ({ path }: z.core.$ZodIssue): string =>
  path
    .map((one) => (typeof one === 'number' ? `[${one}]` : `.${String(one)}`))
    .join('')
    .slice(1)

/** The JSON Schema of a cluster's description, for editors. */
export const clusterSchema = (): object => z.toJSONSchema(cluster, { io: 'input' })
