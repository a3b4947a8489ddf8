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

const EMULATED = 'leave it out: the processor is always emulated'
const NO_DEFAULTS = 'write --vga none and --serial none; nothing else is there that you do not name, but the board'
const NO_AUDIO = 'write --device AC97 --audio wav:FILE; the host plays nothing'
const NO_TRUSTED_MODULE = 'there is no TPM here'
const NO_WINDOW = 'there are no windows here; write --display vnc=127.0.0.1:5901, png:FILE or terminal'
/** Answers to QEMU's options that have no translation of their own (`../commands/qemu/translate.ts`). */
export const REPLACEMENTS: Readonly<Record<string, string>> = {
  '-nographic': 'leave it out: the terminal is the serial console',
  '-no-shutdown': 'leave it out: a guest that powers off ends the run',
  '-trace': 'write --trace ioreq',
  '-h': 'write --help',
  '-help': 'write --help',
  '-version': 'write --version',
  '-accel': EMULATED,
  '-enable-kvm': EMULATED,
  '-no-kvm': EMULATED,
  '-singlestep': 'write --jit off, and --trace insn for a line per instruction',
  '-perfmap': 'write --profile FILE',
  '-jitdump': 'write --jit-dump FOLDER',
  '-k': 'write --display vnc=127.0.0.1:5901,layout=de',
  '-disk': 'write retrap run --hda FILE',
  '-echr': 'leave it out: keys for retrap begin with Ctrl-A; Ctrl-A Ctrl-A sends Ctrl-A',
  '-loadvm': 'write retrap restore FILE',
  '-incoming': 'write retrap run --incoming unix:PATH, or tcp:HOST:PORT,secret=FILE',
  '-only-migratable': 'leave it out: a machine that cannot be moved says so when it is to move',
  '-name': 'leave it out: machines have no names here',
  '-acpitable': 'there is no way to add ACPI tables here',
  '-no-acpi': 'leave it out: the board always has ACPI; give Linux --append acpi=off',
  '-no-hpet': 'leave it out: the board always has an HPET; give Linux --append hpet=disable',
  '-set': 'write the property with the device: --device NAME,key=value; --device NAME,help lists them',
  '-nodefaults': NO_DEFAULTS,
  '-no-user-config': 'leave it out: no configuration is read but a machine.json that you name',
  '-readconfig': 'write retrap run machine.json; retrap run --schema says what may be in it',
  '-writeconfig': 'write a machine.json of your own; retrap run --schema says what may be in it',
  '-mem-path': 'leave it out: guest RAM is memory of the process',
  '-mem-prealloc': 'leave it out: guest RAM is memory of the process',
  '-dtb': 'leave it out: --arch arm64 makes its own device tree, which --dumpdtb FILE writes',
  '-loader': 'write retrap run --kernel FILE, or --firmware FILE',
  '-semihosting': "there is no semihosting; write --device isa-debug-exit to end with a guest's code",
  '-semihosting-config': "there is no semihosting; write --device isa-debug-exit to end with a guest's code",
  '-tpmdev': NO_TRUSTED_MODULE,
  '-chardev': 'write --chardev stdio,id=c, or socket, file, pty or null, for --device virtconsole,chardev=c',
  '-cpu': 'write --cpu max or core2; retrap run --cpu help lists the models',
  '-netdev': 'write retrap run --netdev user,id=n --device virtio-net-pci,netdev=n',
  '-audio': NO_AUDIO,
  '-audiodev': NO_AUDIO,
  '-full-screen': NO_WINDOW,
  '-sdl': NO_WINDOW,
  '-spice': NO_WINDOW,
  '-show-cursor': NO_WINDOW,
  '-parallel': 'there is no parallel port here',
  '-sd': 'there is no SD card here; write retrap run --hda FILE',
  '-mtdblock': 'write retrap run --drive if=pflash,unit=0,file=FILE',
  '-runas': 'leave it out: retrap needs no privileges; start it as that user',
  '-run-with': 'leave it out: retrap needs no privileges; start it as that user',
  '-chroot': 'leave it out: retrap needs no privileges; start it in a container',
  '-sandbox': 'leave it out: retrap needs no privileges; start it in a container',
  '-seed': 'write --deterministic',
  '-dfilter': 'write --trace insn,address=0x7c00-0x7dff',
  '-plugin': 'there are no plugins; write --trace WHAT, or --device FILE with a device model of your own',
  '-L': 'leave it out: firmware is fetched, or named: retrap run --firmware FILE',
}
