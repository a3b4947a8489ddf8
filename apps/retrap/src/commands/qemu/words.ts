/** Words of QEMU's command line that need no other word to be understood. */
import { CPU_MODELS, cpuModel } from '@retrap/x86-cpu'
import type { Pairs } from '../../options/pairs.ts'

const names = (text: string): ReadonlySet<string> => new Set(text.split(' '))

/** Options without a value. */
export const SWITCHES: ReadonlySet<string> = names(
  'nographic enable-kvm no-kvm usb snapshot s S no-reboot no-shutdown curses nodefaults no-user-config no-acpi no-hpet daemonize full-screen sdl show-cursor mem-prealloc only-migratable no-fd-bootchk singlestep perfmap jitdump semihosting version help h',
)
/** Options that differ only in retrap's two dashes. */
export const SAME: ReadonlySet<string> = names(
  'kernel initrd append hda hdb hdc hdd cdrom fda fdb snapshot no-reboot option-rom pidfile daemonize',
)
/** Options that change nothing of the machine, beside options that `REPLACEMENTS` says to leave out. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  parallel: 'there is no parallel port',
  'full-screen': 'there are no windows',
  'show-cursor': 'there are no windows',
  'no-fd-bootchk': 'SeaBIOS checks no signature of a floppy',
  msg: 'messages have no time of day',
  balloon: 'the guest has its memory',
  overcommit: 'memory is what the process has',
  numa: 'all CPUs and memory are in one node',
  trace: "the events are QEMU's own; --trace has others",
}
/** Options of which the last mention counts. */
export const LAST_COUNTS: ReadonlySet<string> = names(
  'kernel initrd append bios cpu D k gdb vga display vnc d uuid pidfile debugcon',
)
/** Options whose mentions are one list. */
export const MERGED: ReadonlySet<string> = names('machine m smp boot name rtc icount action overcommit msg')
/** Other names of options. */
export const ALIASES: Readonly<Record<string, (value: string) => readonly [option: string, value: string]>> = {
  M: (value) => ['machine', value],
  s: () => ['gdb', 'tcp::1234'],
  curses: () => ['display', 'curses'],
  sdl: () => ['display', 'sdl'],
  'watchdog-action': (value) => ['action', `watchdog=${value}`],
  'qmp-pretty': (value) => ['qmp', value],
}
/** QEMU's log items, of which retrap has `int` and `in_asm`. */
export const LOG_ITEM: RegExp =
  /^(all|none|out_asm|in_asm|op|op_opt|op_ind|op_plugin|int|exec|cpu|fpu|vpu|mmu|pcall|cpu_reset|unimp|guest_errors|page|nochain|plugin|strace|tid|invalid_mem|trace:.+)$/

/** Options of ours that only `retrap run` has. */
export const RUN_ONLY: RegExp = /^--(kernel|initrd|append|firmware|drive|hd\w|cdrom|fd\w|snapshot|boot)$/

/** A usage message shows this in place of a wrong value. */
export const EXAMPLES: Readonly<Record<string, string>> = { m: '512', smp: '2' }
export const FIRST_VNC_PORT: number = 5900

/**
 * The CPUs of `4`, `cpus=4,cores=2` or the product of the topology: `sockets=2,cores=2`. A level that is not given is `maxcpus`
 * divided by the other levels. Source: QEMU, "Invocation", `-smp`.
 *
 * @returns undefined for a topology that does not have `maxcpus`, or fewer of them than CPUs
 */
export function cpusOf(given: Pairs): number | undefined {
  const { cpus, maxcpus, ...levels } = Object.fromEntries(
    given.pairs('cpus').map(([key, value]) => [key, Number(value)]),
  ) as { readonly [key: string]: number; readonly cpus?: number; readonly maxcpus?: number }
  const product = Object.values(levels).reduce((all, one) => all * one, 1)
  const most = maxcpus ?? cpus ?? product
  const isOpen = ['sockets', 'cores', 'threads'].some((level) => levels[level] === undefined)
  const isWhole = product > 0 && (isOpen ? most % product === 0 : most === product)
  return isWhole && (cpus ?? most) <= most ? (cpus ?? most) : undefined
}

/** Returns our processor for `-cpu`: the model or `max`, with supported changes; and the unsupported ones. */
export function cpuOf(value: string): readonly [cpu: string, others: readonly string[]] {
  const [given = '', ...changes] = value.split(',')
  const others: string[] = []
  let cpu = CPU_MODELS.some(({ name }) => name === given) ? given : 'max'
  for (const change of changes)
    try {
      cpuModel(`${cpu},${change}`)
      cpu = `${cpu},${change}`
    } catch {
      others.push(change)
    }
  return [cpu, others]
}
