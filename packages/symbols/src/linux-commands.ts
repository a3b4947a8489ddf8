import { SymbolsError } from './errors.ts'
import type { LinuxMemory } from './guest-ram.ts'
import { type LinuxCommand, kaslrCommand } from './kaslr-command.ts'
import { LinuxGuest } from './linux-guest.ts'
import { formatLogLine, linuxLog } from './linux-log.ts'
import { type LinuxTask, LinuxTasks } from './linux-tasks.ts'
import { linuxSymbols } from './kallsyms.ts'
import { SymbolTable } from './symbol-table.ts'

/**
 * Commands of gdb's `monitor` about Linux in a machine, as its memory has it at the instant: `kaslr`, `ps`, `task`, `dmesg`.
 *
 * @param machine - returns the machine as it is when the command is given
 * @returns commands as `gdbTarget` takes them
 */
export function linuxCommands(machine: () => LinuxMemory): readonly LinuxCommand[] {
  let known: { readonly guest: LinuxGuest; readonly of: LinuxMemory } | undefined
  const guest = (): LinuxGuest => {
    const now = machine()
    if (known === undefined || known.of !== now || !known.guest.renew(now))
      known = { guest: new LinuxGuest(now), of: now }
    return known.guest
  }
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

/** Finds an address in a machine by the name that Linux in its memory has for it; undefined: there is none. */
export const linuxAddressOf = (machine: LinuxMemory, name: string): bigint | undefined =>
  new SymbolTable(linuxSymbols(machine), 0n).addressOf(name)

function listing(tasks: readonly LinuxTask[]): string {
  const rows = tasks.map(
    ({ pid, tid, parent, state, name, isKernel, address }) =>
      [pid, tid, parent].map((number) => String(number).padStart(7)).join('') +
      ` ${state} 0x${address.toString(16)} ${isKernel ? `[${name}]` : name}\n`,
  )
  return `    PID    TID   PPID S ${'task_struct'.padEnd(18)} NAME\n${rows.join('')}`
}
