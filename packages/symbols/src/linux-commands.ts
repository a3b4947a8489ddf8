import { SymbolsError } from './errors.ts'
import type { LinuxMemory } from './guest-ram.ts'
import { LinuxGuest } from './linux-guest.ts'
import { formatLogLine, linuxLog } from './linux-log.ts'
import { type LinuxTask, LinuxTasks } from './linux-tasks.ts'
import { linuxSymbols } from './kallsyms.ts'
import { SymbolTable } from './symbol-table.ts'

/** The first byte of Linux' code has this name: on arm64 the first one that is in its table. */
const FIRST = '_stext'

/**
 * Where the code of x86 kernels is linked to begin: 16 MiB above the start of their part of the address space, which is the
 * default of CONFIG_PHYSICAL_START, and Debian's (Linux, Documentation/arch/x86/x86_64/mm.rst, "kernel text mapping").
 */
const LINKED = [
  { from: 0xffff_ffff_8000_0000n, to: 1n << 64n, at: 0xffff_ffff_8100_0000n },
  { from: 0xc000_0000n, to: 1n << 32n, at: 0xc100_0000n },
]

const hex = (value: bigint): string => (value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`)

/** A command of gdb's `monitor`, as `gdbTarget` of `@retrap/machine` takes it. */
interface LinuxCommand {
  /** The command's name, then the words that may follow. */
  readonly usage: string
  /** The command's effect. */
  readonly help: string
  /** Does the command for a vCPU. @param given - the words after its name @returns the text to print, in whole lines */
  run(cpu: number, given: readonly string[]): string
}

/**
 * `monitor kaslr`: distance of Linux from its link address, by its own symbol table.
 *
 * @param machine - returns the current machine
 * @returns a command for `gdbTarget`
 */
export function kaslrCommand(machine: () => LinuxMemory): LinuxCommand {
  return {
    usage: 'kaslr',
    help: 'where Linux lies, and how gdb gets its symbols there',
    run: () => describePlace(linuxSymbols(machine()).find(({ name }) => name === FIRST)?.address),
  }
}

function describePlace(text: bigint | undefined): string {
  if (text === undefined) return 'There is no Linux in memory that has its table of symbols (CONFIG_KALLSYMS).\n'
  const linked = LINKED.find(({ from, to }) => text >= from && text < to)
  if (linked === undefined) {
    // An arm64 kernel's link address depends on its version and settings: gdb finds it in the file.
    return `${FIRST} is at ${hex(text)}: file vmlinux, then symbol-file -o ${hex(text)}-(long)&${FIRST} vmlinux\n`
  }
  const offset = hex(text - linked.at)
  return `${FIRST} is at ${hex(text)}, ${offset} from where it was linked: symbol-file -o ${offset} vmlinux\n`
}

/** Returns the known Linux if the present machine still runs it; otherwise searches again. */
const renewed = (known: LinuxGuest | undefined, machine: LinuxMemory): LinuxGuest =>
  known?.renew(machine) === true ? known : new LinuxGuest(machine)

/**
 * Commands of gdb's `monitor` about Linux in a machine, from its present memory: `kaslr`, `ps`, `task`, `dmesg`.
 *
 * @param machine - returns the current machine
 * @returns commands for `gdbTarget`
 */
export function linuxCommands(machine: () => LinuxMemory): readonly LinuxCommand[] {
  let known: LinuxGuest | undefined
  const guest = (): LinuxGuest => (known = renewed(known, machine()))
  const command = (
    usage: string,
    help: string,
    run: (cpu: number, given: readonly string[]) => string,
  ): LinuxCommand => ({
    usage,
    help,
    run(cpu, given) {
      try {
        return run(cpu, given)
      } catch (error) {
        if (error instanceof SymbolsError) return `${error.message}\n`
        throw error
      }
    },
  })
  return [
    kaslrCommand(machine),
    command('ps', 'processes and kernel threads of Linux', () => listing(new LinuxTasks(guest()).all())),
    command('task', 'the task of Linux that this vCPU executes', (cpu) =>
      listing([new LinuxTasks(guest()).current(cpu)]),
    ),
    command('dmesg [LINES]', "Linux' log; its last lines", (_cpu, [last]) => {
      if (last !== undefined && !/^\d{1,9}$/.test(last)) return `dmesg: '${last.slice(0, 40)}' is no number of lines\n`
      const lines = linuxLog(guest()).map((line) => `${formatLogLine(line)}\n`)
      return (last === undefined ? lines : lines.slice(Math.max(0, lines.length - Number(last)))).join('')
    }),
  ]
}

/** Names of addresses and addresses of names, by the table that Linux in a machine's memory has of itself. */
export class LinuxNames {
  readonly #machine: () => LinuxMemory
  #table: SymbolTable | undefined
  #guest: LinuxGuest | undefined

  /** @param machine - returns the current machine at each look-up */
  constructor(machine: () => LinuxMemory) {
    this.#machine = machine
  }

  /** Returns the address of a symbol; undefined if unknown. */
  readonly addressOf = (name: string): bigint | undefined => this.#known()?.addressOf(name)

  /** Returns `name` or `name+0x10`; undefined if unknown. */
  readonly nameOf = (address: bigint): string | undefined => this.#known()?.nameOf(address)

  /**
   * The function at an address, and the task that a processor executes, as far as known: `name+0x10, pid 122 sh`.
   *
   * @param name - the function, if it is known. Default by Linux' own table
   */
  readonly whoseCode = (
    address: bigint,
    cpu: number,
    name: string | undefined = this.nameOf(address),
  ): string | undefined => {
    const task = this.taskOf(cpu)
    return [name ?? [], task === null ? [] : `pid ${task.pid} ${task.name}`].flat().join(', ') || undefined
  }

  /** The task that a processor executes; null where no Linux is found that says so. */
  taskOf(cpu: number): LinuxTask | null {
    try {
      return new LinuxTasks((this.#guest = renewed(this.#guest, this.#machine()))).current(cpu)
    } catch (error) {
      if (error instanceof SymbolsError) return null
      throw error
    }
  }

  /** The kernel may not have been loaded yet. */
  #known(): SymbolTable | undefined {
    if (this.#table !== undefined) return this.#table
    const symbols = linuxSymbols(this.#machine())
    return symbols.length === 0 ? undefined : (this.#table = new SymbolTable(symbols, 0n))
  }
}

function listing(tasks: readonly LinuxTask[]): string {
  const rows = tasks.map(
    ({ pid, tid, parent, state, name, isKernel, address }) =>
      [pid, tid, parent].map((number) => String(number).padStart(7)).join('') +
      ` ${state} 0x${address.toString(16)} ${isKernel ? `[${name}]` : name}\n`,
  )
  return `    PID    TID   PPID S ${'task_struct'.padEnd(18)} NAME\n${rows.join('')}`
}
