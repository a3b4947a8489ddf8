/** Words of QEMU's command line that need no other word to be understood. */
import { CPU_MODELS, cpuModel } from '@retrap/x86-cpu'
import { Pairs } from '../../options/pairs.ts'

const names = (text: string): ReadonlySet<string> => new Set(text.split(' '))

/** Options without a value. */
export const SWITCHES: ReadonlySet<string> = names(
  'nographic enable-kvm no-kvm usb snapshot s S no-reboot no-shutdown curses nodefaults no-user-config no-acpi no-hpet daemonize full-screen sdl show-cursor mem-prealloc only-migratable no-fd-bootchk singlestep perfmap jitdump semihosting version help h',
)
/** Options that only have two dashes here. */
export const SAME: ReadonlySet<string> = names(
  'kernel initrd append hda hdb hdc hdd cdrom fda fdb snapshot no-reboot fsdev option-rom pidfile daemonize',
)
/** Options that change nothing of the machine, beside those that `REPLACEMENTS` says to leave out. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  parallel: 'there is no parallel port',
  'full-screen': 'there are no windows',
  sdl: 'there are no windows',
  'show-cursor': 'there are no windows',
  'no-fd-bootchk': 'SeaBIOS checks no signature of a floppy',
  msg: 'messages have no time of day',
  balloon: 'the guest has its memory',
  overcommit: 'memory is what the process has',
}

/** Options of ours that only `retrap run` has. */
export const RUN_ONLY: RegExp = /^--(kernel|initrd|append|firmware|drive|hd\w|cdrom|fd\w|snapshot|boot)$/

const USUAL_MEMORY = '512M'
const USUAL_CPUS = 2
export const FIRST_VNC_PORT: number = 5900

/** QEMU's users write MiB without a unit: `512`, `2G`. */
export function memoryOf(value: string): string {
  const [, digits, unit = 'M'] = /^(\d+)([kmgt])?i?b?$/i.exec(value) ?? []
  return digits === undefined ? USUAL_MEMORY : `${digits}${unit.toUpperCase()}`
}

/** The CPUs of `4`, `cpus=4,cores=2` or the product of the topology: `sockets=2,cores=2`. */
export function cpusOf(given: Pairs): number {
  const topology = ['sockets', 'dies', 'clusters', 'cores', 'threads']
  const count = given.get('cpus') ?? (/^\d+$/.test(given.kind) ? given.kind : undefined)
  const isKnown = count !== undefined || topology.some((key) => given.has(key))
  const all = Number(count ?? topology.reduce((product, key) => product * Number(given.get(key) ?? 1), 1))
  return Number.isSafeInteger(all) && all > 0 && isKnown ? all : USUAL_CPUS
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

/** Parses the target of a monitor or serial port, `tcp:HOST:PORT,server,nowait`. Also returns notes on differences. */
export function placeOf(value: string): readonly [target: string, notes: readonly string[]] {
  const [, kind, rest = ''] = /^(tcp|telnet|websocket|unix):(.*)$/.exec(value) ?? []
  if (kind === undefined) return [/^(vc|null|none)/.test(value) ? 'none' : value, []]
  const pairs = new Pairs(rest.replace(/,server\b(?!=)/, ',server=on').replace(/,nowait\b/, ',wait=off'))
  const [[place] = ['']] = pairs.all
  const notes = [
    ...(pairs.get('server') === 'on' ? [] : ['it listens there, and connects to nothing']),
    ...(pairs.get('wait') === 'off' ? [] : ['the machine waits for no program there']),
  ]
  return [`${kind === 'unix' ? kind : 'tcp'}:${place.replace(/^:/, '')}`, notes]
}
