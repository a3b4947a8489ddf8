import { SymbolsError } from './errors.ts'
import type { LinuxMemory } from './guest-ram.ts'
import { type LinuxCommand, kaslrCommand } from './kaslr-command.ts'
import { LinuxGuest } from './linux-guest.ts'
import { formatLogLine, linuxLog } from './linux-log.ts'
import { type LinuxTask, LinuxTasks } from './linux-tasks.ts'
import { linuxSymbols } from './kallsyms.ts'
import { SymbolTable } from './symbol-table.ts'

/** Knowledge of Linux in a machine, if the machine at hand has the same Linux; or what is found anew. */
const renewed = (known: LinuxGuest | undefined, machine: LinuxMemory): LinuxGuest =>
  known?.renew(machine) === true ? known : new LinuxGuest(machine)

/**
 * Commands of gdb's `monitor` about Linux in a machine, as its memory has it at the instant: `kaslr`, `ps`, `task`, `dmesg`.
 *
 * @param machine - returns the machine as it is when the command is given
 * @returns commands as `gdbTarget` takes them
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

  /** @param machine - returns the machine as it is when a name is asked for */
  constructor(machine: () => LinuxMemory) {
    this.#machine = machine
  }

  /** The address of a name; undefined: there is none. */
  readonly addressOf = (name: string): bigint | undefined => this.#known()?.addressOf(name)

  /** `name` or `name+0x10`; undefined where nothing with a name is. */
  readonly nameOf = (address: bigint): string | undefined => this.#known()?.nameOf(address)

  /** The function at an address, and the task that a processor executes, as far as they can be told: `name+0x10, pid 122 sh`. */
  readonly whoseCode = (address: bigint, cpu: number): string | undefined => {
    const task = this.taskOf(cpu)
    return (
      [this.nameOf(address) ?? [], task === null ? [] : `pid ${task.pid} ${task.name}`].flat().join(', ') || undefined
    )
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
