import type { Domain } from '@retrap/hvm'
import { accountOf, type InstructionAccount } from '@retrap/replay'

/** One command that gdb hands on with `monitor`. */
export interface MonitorCommand {
  /** The command's name and arguments, for its line of help. */
  readonly usage: string
  /** The command's effect, for the same line. */
  readonly help: string
  /** Does the command for the chosen vCPU. @param given - the words after its name @returns the text to print, in whole lines */
  run(cpu: number, given: readonly string[]): string | Promise<string>
}

/** Names of a processor's exceptions. */
export interface ExceptionNames {
  /** Sample arguments, for help. */
  readonly examples: readonly string[]
  /** Parses a word as a number; undefined for other words. */
  parse(word: string): number | undefined
  /** The name of a number. */
  format(number: number): string
  /** Further events that can be caught, by name. */
  readonly others?: Readonly<Record<string, { get(): boolean; set(caught: boolean): void }>>
}

/** Writes a number as 0x and hexadecimal digits. */
export const hex = (value: number | bigint): string => `0x${value.toString(16)}`

/** Parses an address of at most 64 bits; undefined for other text. */
export function parseAddress(text: string | undefined): bigint | undefined {
  return text !== undefined && /^(0x[\da-f]{1,16}|\d{1,18})$/i.test(text) ? BigInt(text) : undefined
}

/** A parsed place in memory. */
export interface WrittenPlace {
  /** Address of the first byte. */
  readonly address: bigint
  /** Whether the address is guest-physical; otherwise it is linear. */
  readonly physical: boolean
}

/** Finds the linear address of a symbol; undefined if unknown. */
export type FindName = (name: string) => bigint | undefined

/** Reads `0x1000`, `schedule`, `schedule+0x10`, or `0x1000@p`, which is guest-physical. @returns undefined for anything else */
export function parseMemoryPlace(text: string | undefined, find: FindName = () => undefined): WrittenPlace | undefined {
  const [, base = '', more = '0', mark] = /^([\w.$]+)(?:\+(\w+))?(@p)?$/.exec(text ?? '') ?? []
  const physical = mark !== undefined
  const start = parseAddress(base) ?? (physical || base === '' ? undefined : find(base))
  const offset = parseAddress(more)
  if (start === undefined || offset === undefined) return undefined
  return { address: BigInt.asUintN(64, start + offset), physical }
}

/** Columns before a command's description. */
const USAGE_COLUMNS = 25
const NOTES =
  'Physical memory: maintenance packet Qqemu.PhyMemMode:1. Interrupts in steps: maintenance packet Qqemu.sstep=0x1.\n'

/** The commands that gdb hands on with `monitor`. Commands leave the guest unchanged unless their help says otherwise. */
export class Monitor {
  readonly #commands: ReadonlyMap<string, MonitorCommand>

  constructor(commands: readonly MonitorCommand[]) {
    this.#commands = new Map(commands.map((command) => [command.usage.split(' ', 1)[0]!, command]))
  }

  /** Executes a command. @returns its output, in whole lines */
  async run(cpu: number, line: string): Promise<string> {
    const [name = '', ...given] = line.trim().split(/\s+/)
    if (name === '' || name === 'help') return this.#help()
    const command = this.#commands.get(name)
    return command?.run(cpu, given) ?? `There is no '${name.slice(0, 40)}'. monitor help lists the commands.\n`
  }

  #help(): string {
    const names = [...this.#commands.keys()].toSorted()
    const lines = names.map((name) => {
      const { usage, help } = this.#commands.get(name)!
      return `${usage.padEnd(USAGE_COLUMNS)} ${help}\n`
    })
    return lines.join('') + NOTES
  }
}

/** A vCPU whose instruction may wait for a device. */
export interface PendingCpu {
  readonly id: number
  readonly cpu: { readonly busy: boolean; readonly log: Parameters<typeof accountOf>[0] }
}

/** A domain with vCPUs that can wait for devices. */
interface PendingDomain<C extends PendingCpu> extends Pick<Domain, 'dispatch'> {
  readonly vcpus: readonly C[]
}

/**
 * `pending`.
 *
 * @param pc - the program counter of a vCPU
 * @param further - lines that only this kind of vCPU has
 */
export function pendingCommand<C extends PendingCpu>(
  { vcpus, dispatch }: PendingDomain<C>,
  pc: (id: number) => bigint,
  further: (vcpu: C) => string = () => '',
): MonitorCommand {
  return {
    usage: 'pending',
    help: 'instructions that wait for a device: their passes and accesses',
    run: () => {
      let text = ''
      for (const vcpu of vcpus) {
        if (!vcpu.cpu.busy) continue
        const wait = dispatch.requests.describe(vcpu.id)
        text += `CPU ${vcpu.id} waits for a device at ${hex(pc(vcpu.id))}`
        text += wait === null ? '\n' : `: ${wait.device}, ${wait.request}\n`
        text += further(vcpu) + describeInstruction(accountOf(vcpu.cpu.log))
      }
      return text === '' ? 'No instruction waits.\n' : text
    },
  }
}

function describeInstruction({ passes, accesses, replayed, reachedDevices }: InstructionAccount): string {
  const count = accesses.length === 1 ? '1 access' : `${accesses.length} accesses`
  let text = `  pass ${passes}: ${count}, ${reachedDevices} of a device; the next pass replays ${replayed}\n`
  for (const { ordinal, kind, address, size, operand, element, outcome, data } of accesses) {
    text += `  #${ordinal} ${kind} of ${size} at ${address}, tag ${operand}.${element}: ${outcome}`
    text += data === undefined ? '\n' : `, bytes ${data}\n`
  }
  return text
}

/** The debugger that catches exceptions, as `MachineDebugger` does. */
export interface Catching {
  /** Numbers of exceptions that are caught. */
  readonly caughtFaults: readonly number[]
  /** Whether triple faults are. */
  catchesShutdown: boolean
  /** Catches an exception, or no longer. */
  catchFault(number: number, caught: boolean): void
}

/** `catch` and `uncatch`. */
export function catchCommands(debug: Catching, names: ExceptionNames): readonly MonitorCommand[] {
  const { others = {} } = names
  const list = (): string => {
    const caught = debug.caughtFaults.map((number) => names.format(number))
    for (const [name, other] of Object.entries(others)) if (other.get()) caught.push(name)
    return caught.length === 0 ? 'Nothing is caught.\n' : `Caught: ${caught.join(', ')}\n`
  }
  const change = (words: readonly string[], caught: boolean): string => {
    for (const word of words) {
      const other = Object.hasOwn(others, word) ? others[word] : undefined
      const number = names.parse(word)
      if (other !== undefined) other.set(caught)
      else if (number !== undefined) debug.catchFault(number, caught)
      else
        return `'${word.slice(0, 40)}' is no exception: write ${names.examples.slice(0, -1).join(', ')} or ${names.examples.at(-1)}\n`
    }
    return list()
  }
  const one = names.examples.join('|')
  return [
    {
      usage: `catch [${one}]...`,
      help: 'stop before an exception is delivered; without a name, list them',
      run: (_cpu, given) => (given.length === 0 ? list() : change(given, true)),
    },
    { usage: `uncatch ${one}...`, help: 'deliver it', run: (_cpu, given) => change(given, false) },
  ]
}
