/** QEMU's command line in options of ours. Source: QEMU, "Invocation" (docs/system/invocation.rst). */
import { CPU_MODELS, cpuModel } from '@retrap/x86-cpu'
import { REPLACEMENTS } from '../options/foreign-options.ts'
import { type DeviceLine, translateDevice } from './devices.ts'
import { Pairs } from './pairs.ts'

const names = (text: string): ReadonlySet<string> => new Set(text.split(' '))

/** Options without a value. */
const SWITCHES = names(
  'nographic enable-kvm no-kvm usb snapshot s S no-reboot no-shutdown curses nodefaults no-user-config no-acpi no-hpet daemonize full-screen sdl show-cursor mem-prealloc only-migratable no-fd-bootchk singlestep perfmap jitdump semihosting version help h',
)
/** Options that only have two dashes here. */
const SAME = names('kernel initrd append hda hdb hdc hdd cdrom fda fdb snapshot no-reboot netdev fsdev option-rom')
/** Options that change nothing of the machine, beside those that {@link REPLACEMENTS} says to leave out. */
const LEFT_OUT = names('monitor mon qmp parallel full-screen sdl show-cursor no-fd-bootchk msg balloon overcommit')

/** Options of ours that only `retrap run` has. */
const RUN_ONLY = /^--(kernel|initrd|append|firmware|drive|hd\w|cdrom|fd\w|snapshot|boot)$/

const USUAL_MEMORY = '512M'
const USUAL_CPUS = 2
const FIRST_VNC_PORT = 5900

/** QEMU's users write MiB without a unit, and keys for more: `512`, `2G`, `size=1G,slots=2`. */
function memoryOf(value: string): string {
  const [, digits, unit = 'M'] = /^(?:size=)?(\d+)([kmgt])?b?(?:,.*)?$/i.exec(value) ?? []
  return digits === undefined ? USUAL_MEMORY : `${digits}${unit.toUpperCase()}`
}

/** `4`, `cpus=4,cores=2` or the product of the topology: `sockets=2,cores=2`. */
function cpusOf(value: string): number {
  const given = new Pairs(value.replace(/^(?=\d)/, 'cpus=')).without(/^maxcpus$/)
  const all = Number(given.get('cpus') ?? given.all.reduce((product, [, count]) => product * Number(count), 1))
  return Number.isSafeInteger(all) && all > 0 && value !== '' ? all : USUAL_CPUS
}

/** A processor of ours for `-cpu`: the model or `max`, with the changes that it can have. */
function cpuOf(value: string): string {
  const [given = '', ...changes] = value.split(',')
  const model = CPU_MODELS.some(({ name }) => name === given) ? given : 'max'
  return changes.reduce((text, change) => {
    try {
      return cpuModel(`${text},${change}`) && `${text},${change}`
    } catch {
      return text
    }
  }, model)
}

/** Reads a line of QEMU's. */
export class Translation implements DeviceLine {
  /** Options of `retrap run`, each with its value. */
  readonly options: (readonly [option: string, value?: string])[] = []
  /** Sentences about parts that are otherwise than the line says. */
  readonly notes: string[] = []
  /** Sentences about parts that have no place here. */
  readonly complaints: string[] = []
  readonly #drives: Pairs[] = []
  readonly #chardevs = new Map<string, Pairs>()
  readonly #serial: string[] = []
  /** Options whose last mention counts, or what another part of the line asks for. */
  readonly #last: Record<string, string> = {}

  /** Takes one option, without its dashes. */
  option(name: string, value: string): void {
    const translate = Object.hasOwn(this.#translations, name) ? this.#translations[name] : undefined
    if (SAME.has(name)) this.add(`--${name}`, SWITCHES.has(name) ? undefined : value)
    else if (translate !== undefined) translate(value)
    else if (!LEFT_OUT.has(name)) {
      const instead = REPLACEMENTS[`-${name}`] ?? 'it is unknown'
      if (!instead.startsWith('leave it out')) this.complaints.push(`-${name}: ${instead}`)
    }
    this.#last[name] = value
  }

  add(option: string, value?: string): void {
    this.options.push(value === undefined ? [option] : [option, value])
  }

  has(option: string, value: RegExp = /^/): boolean {
    return this.options.some(([name, text = '']) => name === option && value.test(text))
  }

  takeChardev(id: string): string {
    const pairs = this.#chardevs.get(id) ?? new Pairs('')
    this.#chardevs.delete(id)
    const [kind, path] = [pairs.all[0]?.[0] ?? 'null', pairs.get('path')]
    if (kind === 'socket' && path === undefined) return `tcp:${pairs.get('host') ?? ''}:${pairs.get('port')}`
    return path === undefined ? kind : `${kind === 'socket' ? 'unix' : kind}:${path}`
  }

  serial(value: string): void {
    const target = value.replace(/^chardev:(.*)$/, (_, id: string) => this.takeChardev(id)).replace(/^mon:/, '')
    const [, socket, place = ''] = /^(tcp|telnet|unix):([^,]*)/.exec(target) ?? []
    if (socket !== undefined) this.#serial.push(`${socket === 'unix' ? socket : 'tcp'}:${place.replace(/^:/, '')}`)
    else this.#serial.push(/^(vc|null|none)/.test(target) ? 'none' : target)
  }

  needsQ35(): void {
    this.#last['machine'] ??= 'q35'
  }

  placeDrive(id: string | undefined, media: string): void {
    const drive = this.#drives.find((one) => one.get('id') === id)
    drive?.set('if', 'ide')
    drive?.set('media', media)
  }

  readonly #translations: Readonly<Record<string, (value: string) => void>> = {
    m: (value) => this.add('--memory', memoryOf(value)),
    smp: (value) => this.add('--cpus', `${cpusOf(value)}`),
    cpu: (value) => {
      const cpu = cpuOf(value)
      if (cpu.startsWith('max') && !/^(host|max)/.test(value))
        this.notes.push(`the processor is --cpu max, not ${value}`)
      if (cpu !== 'max') this.add('--cpu', cpu)
    },
    bios: (value) => this.add('--firmware', value),
    pflash: (value) => this.#drive(`if=pflash,format=raw,file=${value.replaceAll(',', ',,')}`),
    drive: (value) => this.#drive(value),
    boot: (value) => {
      const pairs = new Pairs(value.replace(/^([a-d]\w*)(?=,|$)/, 'order=$1').replace('once=', 'order='))
      this.add('--boot', pairs.without(/^(?!order|menu)/).text)
    },
    M: (value) => void (this.#last['machine'] = value),
    machine: () => {},
    nographic: () => {},
    nodefaults: () => {},
    curses: () => this.option('display', 'curses'),
    vnc: (value) => this.option('display', `vnc=${value}`),
    display: () => {},
    k: () => {},
    vga: (value) => void (value === 'none' || translateDevice(value === 'std' ? 'VGA' : `${value}-vga`, this)),
    serial: (value) => this.serial(value),
    chardev: (value) => {
      const pairs = new Pairs(value.replaceAll(/,nowait\b/g, ',wait=off')).without(/^(mux|signal|logfile|append)$/)
      this.#chardevs.set(pairs.get('id') ?? '', pairs)
      if (pairs.has('server')) pairs.set('wait', 'off')
    },
    debugcon: (value) => this.add('--device', `isa-debugcon,chardev=${value}`),
    nic: (value) => value !== 'none' && this.#card(new Pairs(value)),
    net: (value) => {
      const [kind, ...rest] = value.split(',')
      this.#last[`net ${kind}`] = rest.map((pair) => `,${pair}`).join('')
    },
    device: (value) => translateDevice(value, this),
    usb: () => translateDevice('qemu-xhci', this),
    usbdevice: (value) => translateDevice(`usb-${value.replace('keyboard', 'kbd')}`, this),
    soundhw: (value) => value !== 'pcspk' && translateDevice('AC97', this),
    audiodev: (value) => value.startsWith('wav') && this.add('--audio', `wav:${new Pairs(value).get('path')}`),
    virtfs: (value) => this.add('--virtfs', value.replace(/,security_model=mapped[-\w]*/, '')),
    s: () => this.option('gdb', 'tcp::1234'),
    S: () => {},
    gdb: () => {},
    icount: () => this.add('--deterministic'),
    d: (value) => {
      const what = { int: ['exceptions', 'irq'], in_asm: ['insn'] } as Readonly<Record<string, readonly string[]>>
      for (const trace of value.split(',').flatMap((word) => what[word] ?? [])) this.add('--trace', trace)
    },
    D: () => {},
  }

  #drive(value: string): void {
    const pairs = new Pairs(value).without(/^(cache\.|file\.|locking|copy-on-read|throttling|boot$)/)
    const flashes = this.#drives.filter((drive) => drive.get('if') === 'pflash').length
    if (pairs.get('if') === 'pflash' && !pairs.has('unit') && !pairs.has('index')) pairs.set('unit', `${flashes}`)
    if (pairs.get('file')?.startsWith('fat:') === true)
      this.complaints.push('-drive file=fat: write --share TAG=FOLDER')
    this.#drives.push(pairs)
  }

  #card(pairs: Pairs): void {
    const model = pairs.get('model') ?? 'e1000'
    if (!/^(virtio|e1000)/.test(model)) this.notes.push(`the network card is an e1000, not a ${model}`)
    const mac = pairs.get('macaddr')
    if (mac !== undefined) pairs.set('mac', mac)
    pairs.set('model', model.startsWith('virtio') ? 'virtio-net-pci' : 'e1000')
    this.add('--nic', pairs.without(/^(macaddr|id|netdev|vlan|name|smb|ipv[46]|dnssearch)$/).text)
  }

  /** Adds what depends on more than one option. @param machine - a whole one: with what QEMU's has by default */
  finish(machine: { readonly isArm: boolean; readonly terminal: boolean } | null): void {
    const last = this.#last
    for (const drive of this.#drives) this.add('--drive', drive.text)
    if ('net nic' in last || 'net user' in last)
      this.#card(new Pairs(`user${last['net user'] ?? ''}${last['net nic'] ?? ''}`))
    const isArm = this.#board(machine?.isArm === true)
    const isBare = ['net', 'nic', 'netdev', 'nodefaults'].some((name) => name in last)
    if (machine !== null && !isBare && !isArm) this.#card(new Pairs('user'))
    if ('gdb' in last)
      this.add('--gdb', `${last['gdb']!.replace('tcp::', 'tcp:127.0.0.1:')}${'S' in last ? ',wait' : ''}`)
    if ('D' in last && this.has('--trace')) this.add('--trace-to', last['D'])
    if ('mon' in last) for (const [id] of this.#chardevs) if (last['mon']!.includes(id)) this.#chardevs.delete(id)
    for (const chardev of this.#chardevs.values()) this.add('--chardev', chardev.text)
    this.#screen(isArm || machine === null ? null : machine.terminal)
  }

  #board(isArm: boolean): boolean {
    const pairs = new Pairs(this.#last['machine'] ?? '')
    const name = pairs.get('type') ?? (pairs.all[0]?.[1] === 'on' ? pairs.all[0][0] : '')
    const gic = pairs.get('gic-version')
    if (/q35/.test(name)) this.add('--machine', pairs.get('smm') === 'on' ? 'q35,smm=on' : 'q35')
    else if (name.startsWith('virt')) {
      this.add('--arch', 'arm64')
      this.add('--machine', gic === undefined ? 'virt' : `virt,gic-version=${gic}`)
      return true
    } else if (!/^(pc(-i440fx.*)?)?$/.test(name) || isArm)
      this.complaints.push(`-machine ${name}: there are pc, q35, virt`)
    return isArm
  }

  /** Serial ports and screen. @param terminal - whether a terminal can be the window; null: there is no window */
  #screen(terminal: boolean | null): void {
    const last = this.#last
    const [kind = ''] = (last['display'] ?? ('nographic' in last ? 'none' : '')).split(',')
    if (this.#serial.length === 0 && kind !== 'none' && terminal !== null) this.#serial.push('none')
    const [, host, number] = /^vnc=(.*):(\d+)$/.exec(kind) ?? []
    const window =
      terminal !== null && !/^(none|vnc=none)$/.test(kind) && number === undefined && last['vga'] !== 'none'
    const isFree = !this.#serial.includes('stdio') && !this.has('--chardev', /^stdio/)
    const vnc = number === undefined ? '' : `vnc=${host || '127.0.0.1'}:${FIRST_VNC_PORT + Number(number)}`
    const display = vnc || (kind === 'curses' || (window && terminal && isFree) ? 'terminal' : '')
    const layout = 'k' in last ? `,layout=${last['k']!.replace('en-', '')}` : ''
    if (display !== '') this.add('--display', `${display}${layout}`)
    else if (window) this.notes.push('the screen is not shown; --display vnc=127.0.0.1:5900 would show it')
    if (last['vga'] === 'none') this.add('--vga', 'none')
    else if (this.has('--kernel') && (display !== '' || window) && !this.has('--device', /^VGA/))
      this.add('--vga', 'std')
    // Beside a display on the terminal the first port is not connected.
    const usual = display === 'terminal' ? 'none' : 'stdio'
    if (this.#serial.some((target) => target !== usual)) for (const target of this.#serial) this.add('--serial', target)
  }
}

/**
 * Translates a whole line.
 *
 * @param line - the words, with or without the program's name
 * @param terminal - a terminal is there that can show the guest's screen
 */
export function translateLine(line: readonly string[], terminal: boolean): Translation {
  const [first = ''] = line
  const [, system] = /(?:^|\/)qemu-system-(\w+)$/.exec(first) ?? []
  const words = [...line]
  if (system !== undefined || first === 'kvm') words.shift()
  const into = new Translation()
  if (system !== undefined && !/^(x86_64|i386|aarch64)$/.test(system))
    into.complaints.push(`there is no board of ${first}`)
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const name = word.replace(/^--?/, '')
    if (name === word) into.add('--hda', word)
    else into.option(name, SWITCHES.has(name) ? '' : (words.shift() ?? ''))
  }
  into.finish({ isArm: system === 'aarch64', terminal })
  return into
}

/**
 * Returns what to write instead of an option that QEMU's users know, with one dash or two.
 *
 * @param args - the command line that it is in
 * @returns undefined for an option that is unknown there too
 */
export function replacementOf(option: string, args: readonly string[] = []): string | undefined {
  const name = option.replace(/^--?/, '')
  const instead = Object.hasOwn(REPLACEMENTS, `-${name}`) ? REPLACEMENTS[`-${name}`] : undefined
  if (name === option || instead !== undefined) return instead
  const at = args.findIndex((word) => word === option || word.startsWith(`${option}=`))
  const value = args[at]?.includes('=') === true ? args[at].slice(option.length + 1) : args[at + 1]
  const alone = new Translation()
  alone.option(name, value ?? 'VALUE')
  alone.finish(null)
  const words = alone.options.flatMap((words_) => words_)
  const command = RUN_ONLY.test(words[0] ?? '') ? 'retrap run ' : ''
  return words.length === 0 ? undefined : `write ${command}${words.join(' ')}; retrap qemu takes whole lines of QEMU's`
}
