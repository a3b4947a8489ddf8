// The programs of a cluster's machines: which wait for which, how healthy they are, and how they have ended.
import { hasProgram, type PlacedMachine, type StartCondition } from './description.ts'
import { bad, type ClusterError } from './errors.ts'

/** The name of a machine's own program. */
export const MAIN_PROGRAM = 'main'
/** The name of a program whose output is for a user alone: see `Cluster.exec`. */
export const EXEC_PROGRAM = 'exec'

/** All that the cluster knows of the program of a machine. */
interface ProgramState {
  /** The instant of its first start; undefined: it waits. */
  begun: number | undefined
  /** Undefined: no test has passed yet, nor have so many failed. */
  health: 'healthy' | 'unhealthy' | undefined
  /** The last output of a test of its health that has failed. */
  said: string
  /** The exit code of its end; undefined: it runs, or waits. */
  code: number | undefined
  /** Folders of its disk that others copy: packed, in base64, by their names. */
  sent: Readonly<Record<string, string>>
  /** The folders that it copies are on its disk. */
  hasCopies: boolean
  /** Why a folder cannot be copied. */
  lack: string | undefined
}

const AT_FIRST: ProgramState = {
  begun: undefined,
  health: undefined,
  said: '',
  code: undefined,
  sent: {},
  hasCopies: false,
  lack: undefined,
}

/** Most bytes of a packed folder that is copied. */
export const MOST_COPIED: number = 64 << 20

/** The state of the programs of machines: data, so that a cluster is forked while programs wait. */
export class MachinePrograms {
  readonly #machines: readonly PlacedMachine[]
  readonly #states: ProgramState[]

  /** @param before - of the cluster that this one is a fork of */
  constructor(machines: readonly PlacedMachine[], before?: MachinePrograms) {
    this.#machines = machines
    this.#states = machines.map((_, number) => ({ ...(before === undefined ? AT_FIRST : before.#states[number]!) }))
  }

  /** Machines whose programs wait for others. */
  get waiting(): readonly PlacedMachine[] {
    return this.#machines.filter((one) => one.after !== undefined && this.#states[one.number]!.begun === undefined)
  }

  /** A machine starts. @returns whether its program starts with it */
  machineStarts(machine: PlacedMachine, now: number): boolean {
    const state = this.#states[machine.number]!
    // By its policy nothing starts the program again after its end.
    const hasEnded = machine.restart !== undefined && state.code !== undefined
    Object.assign(state, { health: undefined, said: '', code: hasEnded ? state.code : undefined })
    return !hasEnded && (machine.after === undefined || state.begun !== undefined) && this.begins(machine, now)
  }

  /** The program of a machine waits no longer. @returns whether there is one */
  begins(machine: PlacedMachine, now: number): boolean {
    this.#states[machine.number]!.begun ??= now
    return hasProgram(machine)
  }

  /** Whether others find a machine that is on by its name: as in Docker, not before its program begins, nor after its end by its policy. */
  hasName({ number, after, restart }: PlacedMachine): boolean {
    const { begun, code } = this.#states[number]!
    return (after === undefined || begun !== undefined) && (restart === undefined || code === undefined)
  }

  /** The program of a machine has ended. @param code - undefined: its guest starts it again */
  ended({ number }: PlacedMachine, code: number | undefined): void {
    Object.assign(this.#states[number]!, { health: undefined, said: '', code })
  }

  /** A guest tells the state of its program: see `GuestListener.status`. @returns a line for people; undefined: there is none */
  status(machine: PlacedMachine, line: string): string | undefined {
    const [, word, rest = ''] = /^(\S+) ?(.*)$/.exec(line) ?? []
    const copying = this.#states[machine.number]!
    if (word === 'copy') return this.#hearCopy(machine, rest)
    if (word === 'copied') copying.hasCopies = true
    if (word === 'uncopied') copying.lack = rest
    if (word === 'copied' || word === 'uncopied') return `folders of its disk: ${word}`
    if (word === 'restarts') {
      this.ended(machine, undefined)
      return `its program ended with ${rest}, and starts again`
    }
    const health = word === 'healthy' || word === 'unhealthy' ? word : undefined
    Object.assign(this.#states[machine.number]!, { health, said: rest })
    return `${health ?? 'not healthy yet'}${rest === '' ? '' : `: ${rest}`}`
  }

  /** Takes a piece of a folder which others copy. A piece without base64 begins the folder. */
  #hearCopy({ name, number }: PlacedMachine, text: string): undefined {
    const [folder = '', base64 = ''] = text.split(' ')
    const isKnown = this.#machines.some(({ disk }) => disk?.copies?.[folder] === name)
    if (!isKnown || !/^[A-Za-z0-9+/]*=*$/.test(base64)) return
    const state = this.#states[number]!
    const whole = base64 === '' ? '' : `${state.sent[folder] ?? ''}${base64}`
    if (whole.length <= 4 * Math.ceil(MOST_COPIED / 3)) state.sent = { ...state.sent, [folder]: whole }
    else state.lack = `${folder} has more than it may have`
  }

  /** The folders that a machine copies before its program starts: packed, in base64, by their names. @returns undefined: none, or none any more */
  copiesOf({ number, disk }: PlacedMachine): Readonly<Record<string, string>> | undefined {
    if (disk?.copies === undefined || this.#states[number]!.hasCopies) return undefined
    const all = Object.entries(disk.copies)
    return Object.fromEntries(all.map(([folder, from]) => [folder, this.#stateOf(from).sent[folder] ?? '']))
  }

  /** The machines whose programs wait for nothing more. */
  due(now: number): readonly PlacedMachine[] {
    return this.waiting.filter(({ after = [] }) => after.every((condition) => this.#holds(condition, now)))
  }

  /** Why a program can never start; undefined: each still may. */
  get failure(): string | undefined {
    const lacking = this.#machines.find(({ number }) => this.#states[number]!.lack !== undefined)
    if (lacking !== undefined)
      return `a folder of the disk of ${lacking.name} is not copied: ${this.#states[lacking.number]!.lack}`
    const failed = this.#conditions().find(
      ({ machine, when, required }) => required && when === 'completed' && (this.#stateOf(machine).code ?? 0) !== 0,
    )
    if (failed === undefined) return undefined
    const { name, machine } = failed
    return `the program of ${machine} ended with ${this.#stateOf(machine).code}, and ${name} waits until it has completed`
  }

  /** A sentence about a program that waits: where there is one, for a program that does not wait itself. */
  waits(now: number): string {
    const unmet = this.#conditions().filter((condition) => !this.#holds(condition, now))
    const { name, machine, when } = unmet.find((one) => this.#stateOf(one.machine).begun !== undefined) ?? unmet[0]!
    const said = ` (the last test of its health that failed: ${this.#stateOf(machine).said || 'none'})`
    const until = `${machine} ${when === 'completed' ? 'has' : 'is'} ${when}${when === 'healthy' ? said : ''}`
    return `the program of ${name}, which waits until ${until}, was not started`
  }

  /** The conditions that programs wait for. @returns with the names of their machines */
  #conditions(): readonly (StartCondition & Pick<PlacedMachine, 'name'>)[] {
    return this.waiting.flatMap(({ name, after = [] }) => after.map((condition) => ({ ...condition, name })))
  }

  #holds({ machine, when, required }: StartCondition, now: number): boolean {
    const { begun = Infinity, health, code } = this.#stateOf(machine)
    if (when === 'started') return begun < now
    if (when === 'completed') return code === 0 || (!required && code !== undefined)
    return health === 'healthy' || (!required && (health === 'unhealthy' || code !== undefined))
  }

  #stateOf(name: string): ProgramState {
    return this.#states[this.#machines.find((machine) => machine.name === name)!.number]!
  }
}

/**
 * Has machines wait for the machines whose folders they copy. The programs of these do not start again after their end.
 *
 * @throws ClusterError `ERR_CLUSTER` for a folder that one of both lacks
 */
export function placeCopies(machines: readonly PlacedMachine[]): readonly PlacedMachine[] {
  const copied = new Set<string>()
  const placed = machines.map((machine): PlacedMachine => {
    const { name, disk, after = [] } = machine
    const copies = Object.entries(disk?.copies ?? {})
    for (const [folder, from] of copies) {
      const both = [machine, machines.find((one) => one.name === from)]
      if (both.some((one) => !Object.values(one?.disk?.folders ?? {}).includes(folder)))
        throw bad(
          `machine ${name}: disk.copies`,
          `expected a machine ${from} whose disk has a folder ${folder}, as its own`,
        )
      copied.add(from)
    }
    const completed = copies.map(([, from]) => ({ machine: from, when: 'completed' as const, required: true }))
    return copies.length === 0 ? machine : { ...machine, after: [...after, ...completed] }
  })
  return placed.map((one) => (copied.has(one.name) ? { ...one, restart: one.restart ?? 'no' } : one))
}

/**
 * Names the machines that programs wait for, each by itself.
 *
 * @param kinds - the name in the description of each machine
 * @throws ClusterError `ERR_CLUSTER` for an unknown machine, for a state that a machine never has, and for a machine that waits for itself
 */
export function placeConditions(machines: readonly PlacedMachine[], kinds: readonly string[]): PlacedMachine[] {
  const wrong = (name: string, why: string): ClusterError => bad(`machine ${name}: after`, why)
  const placed = machines.map(({ after, ...machine }): PlacedMachine => {
    if (after === undefined) return machine
    const conditions = after.flatMap(({ machine: wanted, when, required }) => {
      const found = machines.filter(({ name }, i) => name === wanted || kinds[i] === wanted)
      if (found.length === 0 && required) throw wrong(machine.name, `there is no machine ${wanted}`)
      const isNever = (one: PlacedMachine): boolean =>
        when === 'healthy' ? one.health === undefined : !hasProgram(one) || /^(always|unless)/.test(one.restart ?? '')
      const never = when === 'started' ? undefined : found.find(isNever)
      if (never !== undefined) throw wrong(machine.name, `${never.name} is never ${when}`)
      return found.map(({ name }) => ({ machine: name, when, required }))
    })
    return { ...machine, after: conditions }
  })
  const known = new Set<string>()
  const follow = (name: string, path: readonly string[]): void => {
    if (path.includes(name))
      throw wrong(name, `it waits for itself: ${[...path, name].slice(path.indexOf(name)).join(', ')}`)
    if (known.has(name)) return
    for (const { machine } of placed.find((one) => one.name === name)!.after ?? []) follow(machine, [...path, name])
    known.add(name)
  }
  for (const { name } of placed) follow(name, [])
  return placed
}
