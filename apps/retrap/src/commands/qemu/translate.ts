/** QEMU's command line in options of ours. Source: QEMU, "Invocation" (docs/system/invocation.rst). */
import { REPLACEMENTS } from '../../options/foreign-options.ts'
import { translateDevice } from '../../machine/devices/qemu-devices.ts'
import { LineParts } from './line-parts.ts'
import { Pairs } from '../../options/pairs.ts'
import { cpuOf, cpusOf, FIRST_VNC_PORT, LEFT_OUT, memoryOf, placeOf, RUN_ONLY, SAME, SWITCHES } from './words.ts'

const NO_FAT = 'write --share TAG=FOLDER, or make an image of the folder with mformat and mcopy of mtools'

/** Reads a line of QEMU's. Each word of the line becomes part of an option of ours, or a note or complaint names it. */
export class Translation extends LineParts {
  /** Translates one option, given without its dashes. */
  option(name: string, value: string): void {
    const translate = Object.hasOwn(this.#translations, name) ? this.#translations[name] : undefined
    if (/^(drive|blockdev|[hf]d[a-d]|cdrom)$/.test(name) && /(^|[=:,"])(fat:|vvfat\b)/.test(value))
      this.complaints.push(`-${name} ${value}: ${NO_FAT}`)
    else if (SAME.has(name)) this.add(`--${name}`, SWITCHES.has(name) ? undefined : value)
    else if (translate !== undefined) translate(value)
    else {
      const ours = Object.hasOwn(LEFT_OUT, name) ? LEFT_OUT[name] : undefined
      const known = Object.hasOwn(REPLACEMENTS, `-${name}`) ? REPLACEMENTS[`-${name}`] : undefined
      const instead = ours ?? known ?? 'it is unknown'
      const [, why = ours] = /^leave it out: (.*)$/s.exec(instead) ?? []
      if (instead === 'it is unknown') this.complaints.push(`-${name} ${value}: ${instead}`)
      else if (why === undefined) this.complaints.push(`-${name}: ${instead}`)
      else this.leave(`-${name}${value === '' ? '' : ` ${value}`}`, why)
    }
    this.last[name] = value
  }

  readonly #translations: Readonly<Record<string, (value: string) => void>> = {
    m: (value) => {
      const pairs = this.list('m', value, 'memory is there from the start')
      this.add('--memory', memoryOf(pairs.get('size') ?? pairs.kind))
    },
    smp: (value) => this.add('--cpus', `${cpusOf(this.list('smp', value, 'each CPU is a socket of its own'))}`),
    cpu: () => {},
    bios: (value) => this.add('--firmware', value),
    pflash: (value) => this.#drive(`if=pflash,format=raw,file=${value.replaceAll(',', ',,')}`),
    drive: (value) => this.#drive(value),
    blockdev: (value) => {
      const pairs = this.list('blockdev', value, 'it says how the host reads the file')
      this.nodes.set(pairs.get('node-name') ?? '', pairs)
    },
    boot: (value) => {
      const pairs = this.list('boot', value.replace(/^([a-d]\w*)(?=,|$)/, 'order=$1'), 'firmware has no such setting')
      const once = pairs.take(/^once$/)[0]?.[1]
      if (once !== undefined) {
        pairs.take(/^order$/)
        pairs.all.unshift(['order', once])
        this.notes.push(`-boot once=${once}: it counts for every start`)
      }
      const text = pairs.without(/^(?!order|menu)/).text
      if (text !== '') this.add('--boot', text)
    },
    M: (value) => void (this.last['machine'] = value),
    machine: () => {},
    nographic: () => {},
    nodefaults: () => {},
    curses: () => this.option('display', 'curses'),
    vnc: (value) => this.option('display', `vnc=${value}`),
    display: () => {},
    k: () => {},
    vga: (value) => void (value === 'none' || this.devices.push(new Pairs(value === 'std' ? 'VGA' : `${value}-vga`))),
    serial: (value) => void (this.last[`serial ${Object.keys(this.last).length}`] = value),
    chardev: (value) => {
      const pairs = this.list(
        'chardev',
        value.replaceAll(/,nowait\b/g, ',wait=off'),
        'streams are here without it',
        'backend',
      )
      this.chardevs.set(pairs.get('id') ?? '', pairs)
      pairs.get('mux')
      pairs.without(/^(signal|logfile|logappend|append|telnet|nodelay|reconnect.*)$/)
      if (pairs.has('server')) pairs.set('wait', 'off')
    },
    mon: (value) => {
      const pairs = this.list('mon', value, 'answers have one form', 'chardev')
      this.#monitors.push([`chardev:${pairs.get('chardev') ?? pairs.kind}`, pairs.get('mode') === 'control'])
    },
    monitor: (value) => void this.#monitors.push([value, false]),
    qmp: (value) => void this.#monitors.push([value, true]),
    'qmp-pretty': (value) => void this.#monitors.push([value, true]),
    debugcon: () => {},
    global: (value) => {
      const pairs = this.list('global', value)
      const [[first, text] = ['', '']] = pairs.all
      const dotted = /^(.*)\.(.*)$/.exec(first)
      const [, driver = '', key = ''] = dotted ?? ['', pairs.get('driver'), pairs.get('property')]
      const pair = [key, dotted === null ? (pairs.get('value') ?? '') : text] as const
      pairs.get(first)
      this.globalWords.push({ words: value, driver, pair })
    },
    nic: (value) => value !== 'none' && this.#card(this.list('nic', value)),
    netdev: (value) => {
      const pairs = this.list('netdev', value, 'the network is IPv4 and has no such part', 'type')
      this.networks.push(pairs.without(/^(smb.*|ipv[46].*|dnssearch|vlan|name)$/))
    },
    net: (value) => {
      const [kind, ...rest] = value.split(',')
      this.last[`net ${kind}`] = rest.map((pair) => `,${pair}`).join('')
    },
    device: (value) => void this.devices.push(this.list('device', value, 'the device is here without it')),
    usb: () => void this.devices.push(new Pairs('qemu-xhci')),
    usbdevice: (value) => void this.devices.push(new Pairs(`usb-${value.replace('keyboard', 'kbd')}`)),
    soundhw: (value) =>
      value === 'pcspk'
        ? this.leave('-soundhw pcspk', 'it is always there')
        : void this.devices.push(new Pairs('AC97')),
    audiodev: (value) => {
      const pairs = this.list('audiodev', value, 'a file is the only host of sound', 'driver')
      pairs.get('id')
      if (pairs.kind === 'wav') this.add('--audio', `wav:${pairs.get('path') ?? 'qemu.wav'}`)
      else this.leave(`-audiodev ${pairs.text}`, 'the host plays nothing; wav,path=FILE writes it')
    },
    virtfs: (value) => {
      const pairs = this.list('virtfs', value, 'owners are those of the host')
      this.add('--virtfs', pairs.without(/^(security_model|id|writeout|multidevs|fmode|dmode)$/).text)
    },
    s: () => this.option('gdb', 'tcp::1234'),
    S: () => {},
    gdb: () => {},
    icount: (value) => {
      const pairs = this.list('icount', value, 'an instruction takes what the clock of --deterministic says')
      const [mode, file] = [pairs.get('rr'), pairs.get('rrfile') ?? 'replay.bin']
      if (mode === 'record' || mode === 'replay') this.add(`--${mode}`, file)
      else this.add('--deterministic')
    },
    d: (value) => {
      const what = { int: ['exceptions', 'irq'], in_asm: ['insn'] } as Readonly<Record<string, readonly string[]>>
      const words = value.split(',')
      for (const trace of words.flatMap((word) => what[word] ?? [])) this.add('--trace', trace)
      const others = words.filter((word) => what[word] === undefined)
      if (others.length > 0) this.leave(`-d ${others.join(',')}`, 'there are int and in_asm; --trace has more')
    },
    D: () => {},
    fw_cfg: (value) => {
      const pairs = this.list('fw_cfg', value.replace(/^(?!name=)(?=[^,=]+,)/, 'name='))
      this.add('--fw-cfg', pairs.text)
    },
    smbios: (value) => {
      if (/(^|,)type=(1|11)(,|$)/.test(value)) this.add('--smbios', value)
      else this.leave(`-smbios ${value}`, 'the tables have types 1 and 11')
    },
    uuid: (value) => this.add('--smbios', `type=1,uuid=${value}`),
    rtc: (value) => {
      const pairs = this.list('rtc', value, 'the clock follows the host, or the instructions')
      const base = pairs.get('base')
      if (base !== undefined && base !== 'utc') this.add('--rtc', base)
    },
    numa: (value) => this.leave(`-numa ${value}`, 'all CPUs and memory are in one node'),
    object: (value) => void this.objects.push(this.list('object', value, 'it says how the host does it', 'qom-type')),
    watchdog: (value) => void this.devices.push(new Pairs(value)),
    'watchdog-action': (value) => void (this.last['action watchdog'] = value),
    action: (value) => {
      const pairs = this.list('action', value, 'a guest that powers off ends the run')
      for (const event of ['watchdog', 'panic']) {
        const action = pairs.get(event)
        if (action !== undefined) this.last[`action ${event}`] = action
      }
      if (pairs.get('reboot') === 'shutdown') this.add('--no-reboot')
    },
  }

  readonly #monitors: (readonly [target: string, isQmp: boolean])[] = []

  #object(pairs: Pairs): void {
    const kind = pairs.kind
    const why = kind.startsWith('rng-')
      ? 'random bytes are the host’s'
      : kind.startsWith('memory-backend-')
        ? 'guest RAM is memory of the process'
        : /^(iothread|throttle-group|filter-replay)$/.test(kind)
          ? 'the process does without it'
          : undefined
    if (kind === 'filter-dump') {
      const network = this.networks.find((one) => one.get('id') === pairs.get('netdev'))
      pairs.get('id')
      if (network !== undefined) return network.set('pcap', pairs.get('file') ?? 'qemu.pcap')
    }
    if (why === undefined) this.complaints.push(`-object ${kind}: there is no such object here; leave it out`)
    else this.leave(`-object ${pairs.text}`, why)
  }

  #drive(value: string): void {
    const pairs = this.list('drive', value, 'the drive is here without it')
    pairs.without(/^(cache\.|file\.(?!filename)|locking|copy-on-read|throttling|boot$)/)
    pairs.rename('file.filename', 'file')
    const flashes = this.drives.filter((drive) => drive.get('if') === 'pflash').length
    if (pairs.get('if') === 'pflash' && !pairs.has('unit') && !pairs.has('index')) pairs.set('unit', `${flashes}`)
    this.drives.push(pairs)
  }

  #card(pairs: Pairs): void {
    const model = pairs.get('model') ?? (this.isArm ? 'virtio' : 'e1000')
    if (!/^(virtio|e1000)/.test(model)) this.notes.push(`the network card is an e1000, not a ${model}`)
    pairs.rename('macaddr', 'mac')
    pairs.set('model', model.startsWith('virtio') ? 'virtio-net-pci' : 'e1000')
    this.add('--nic', pairs.without(/^(id|netdev|vlan|name|smb.*|ipv[46].*|dnssearch)$/).text)
  }

  /** Adds settings that depend on several options. @param machine - the machine, including QEMU's defaults */
  finish(machine: { readonly isArm: boolean; readonly is32Bit?: boolean; readonly terminal: boolean } | null): void {
    const last = this.last
    if (this.devices.some((one) => /^(ich9-)?ahci$/.test(one.kind))) this.needsQ35()
    this.#board(machine?.isArm === true)
    for (const [key, value] of Object.entries(last)) if (key.startsWith('serial ')) this.serial(value)
    if ('debugcon' in last) {
      const [target] = placeOf(this.streamOf(last['debugcon']!))
      this.devices.push(new Pairs(`isa-debugcon,chardev=${target}`))
    }
    if ('net nic' in last || 'net user' in last)
      this.#card(this.list('net', `user${last['net user'] ?? ''}${last['net nic'] ?? ''}`))
    for (const pairs of this.devices) {
      const drive = pairs.get('drive')
      if (drive !== undefined && !this.drives.some((one) => one.get('id') === drive)) this.openNode(drive)
      translateDevice(pairs, this)
    }
    for (const pairs of this.objects) this.#object(pairs)
    for (const pairs of this.networks) this.add('--netdev', pairs.text)
    for (const drive of this.drives) this.#addDrive(drive)
    const isBare = ['net', 'nic', 'netdev', 'nodefaults'].some((name) => name in last)
    if (machine !== null && !isBare) this.#card(new Pairs('user'))
    if ('gdb' in last)
      this.add(
        '--gdb',
        `${last['gdb']!.replace('tcp::', 'tcp:127.0.0.1:')}${'S' in last ? ',wait' : ''}${machine?.is32Bit === true ? ',arch=i386' : ''}`,
      )
    else if ('S' in last) this.add('--paused')
    if ('D' in last && this.has('--trace')) this.add('--trace-to', last['D'])
    else if ('D' in last) this.leave(`-D ${last['D']}`, 'nothing is traced')
    for (const [target, isQmp] of this.#monitors) this.#monitor(target, isQmp)
    for (const chardev of this.chardevs.values()) this.add('--chardev', chardev.take(/^mux$/) && chardev.text)
    this.#screen(machine === null ? null : this.isArm ? 'none' : machine.terminal)
    if ('mux' in last || ('nographic' in last && machine !== null && !('monitor' in last))) this.#mux()
    this.noteUnread()
  }

  #monitor(value: string, isQmp: boolean): void {
    const option = isQmp ? '-qmp' : '-monitor'
    // A chardev with mux=on has a serial port and the monitor.
    if (!isQmp && value === this.last['mux']) return this.#mux()
    const [target, notes] = placeOf(this.streamOf(value))
    if (target === 'none') return this.leave(`${option} ${value}`, 'Ctrl-A c takes commands')
    if (target === 'stdio' && !isQmp) return this.#mux()
    this.add(`-${option}`, target)
    for (const note of notes) this.notes.push(`${option} ${value}: ${note}`)
  }

  #mux(): void {
    if (!this.has('--monitor', /^stdio$/)) this.add('--monitor', 'stdio')
  }

  /** Adds a drive, on the board's default interface unless the drive names one. */
  #addDrive(drive: Pairs): void {
    if (drive.get('if') === 'pflash') {
      const secure = this.globals('cfi.pflash01').find(([key]) => key === 'secure')?.[1]
      if (secure === 'on' && drive.get('unit') !== '0') drive.set('secure', 'on')
    }
    if (this.isArm && !drive.has('if') && drive.get('media') !== 'cdrom') drive.set('if', 'virtio')
    this.add('--drive', drive.text)
  }

  #cpu(value: string): void {
    if (this.isArm) return this.leave(`-cpu ${value}`, 'the processor has all of Armv8.4-A')
    const [cpu, others] = cpuOf(value)
    const [given = ''] = value.split(',')
    if (!cpu.startsWith(given)) this.notes.push(`the processor is --cpu ${cpu}, not ${given}`)
    if (others.length > 0) this.leave(`-cpu ${others.join(',')}`, 'the processor does not have it, or has it always')
    if (cpu !== 'max') this.add('--cpu', cpu)
  }

  #board(isArm: boolean): void {
    const pairs = this.list('machine', this.last['machine'] ?? '', 'the board is here without it')
    const name = pairs.get('type') ?? pairs.kind
    const [gic, dump] = [pairs.get('gic-version'), pairs.get('dumpdtb')]
    this.isArm = isArm || name.startsWith('virt')
    if (/q35/.test(name)) this.add('--machine', pairs.get('smm') === 'on' ? 'q35,smm=on' : 'q35')
    else if (name.startsWith('virt')) {
      this.add('--arch', 'arm64')
      const version = gic === undefined || /^[23]$/.test(gic) ? gic : '3'
      if (version !== gic) this.notes.push(`-machine gic-version=${gic}: it is 3`)
      this.add('--machine', version === undefined ? 'virt' : `virt,gic-version=${version}`)
    } else if (/^(pc(-i440fx.*)?)?$/.test(name) && !isArm) {
      if (pairs.get('smm') === 'on') this.add('--machine', 'pc,smm=on')
    } else if (name === 'microvm')
      this.complaints.push(
        '-machine microvm: there is none; write -machine q35, where a kernel starts as soon, with PCI: virtio-blk-pci for virtio-blk-device',
      )
    else this.complaints.push(`-machine ${name || 'none'}: there are pc, q35, virt`)
    if ('cpu' in this.last) this.#cpu(this.last['cpu']!)
    if (dump !== undefined) this.add('--dumpdtb', dump)
    if (pairs.get('usb') === 'on') this.devices.push(new Pairs('qemu-xhci'))
    if (pairs.get('graphics') === 'off') this.last['nographic'] = ''
    for (const unit of ['0', '1']) {
      const flash = this.openNode(pairs.get(`pflash${unit}`))
      flash?.set('if', 'pflash')
      flash?.set('unit', unit)
    }
    for (const option of ['hda', 'hdb', 'hdc', 'hdd']) {
      const at = this.options.findIndex(([one]) => one === `--${option}`)
      if (!this.isArm || at < 0) continue
      // QEMU's board has the virtio transports at this place.
      const [[, file]] = this.options.splice(at, 1) as [[string, string]]
      this.drives.push(new Pairs(`file=${file.replaceAll(',', ',,')},if=virtio,format=raw`))
    }
  }

  /** Serial ports and screen. @param terminal - whether a terminal can be the window; null: only options that are given */
  #screen(terminal: boolean | 'none' | null): void {
    const last = this.last
    const [kind = '', ...more] = (last['display'] ?? ('nographic' in last ? 'none' : '')).split(',')
    const hasWindow = terminal !== null && terminal !== 'none'
    if (this.serialTargets.length === 0 && kind !== 'none' && hasWindow) this.serialTargets.push('none')
    const [, host, number] = /^vnc=(.*):(\d+)$/.exec(kind) ?? []
    const window = hasWindow && !/^(none|vnc=none)$/.test(kind) && number === undefined && last['vga'] !== 'none'
    const isFree = !this.serialTargets.includes('stdio') && !this.has('--chardev', /^stdio/)
    const vnc = number === undefined ? '' : `vnc=${host || '127.0.0.1'}:${FIRST_VNC_PORT + Number(number)}`
    const display =
      vnc || (kind === 'curses' || (window && terminal && isFree && !('daemonize' in last)) ? 'terminal' : '')
    const layout = 'k' in last ? `,layout=${last['k']!.replace('en-', '')}` : ''
    if (display !== '') this.add('--display', `${display}${layout}`)
    else if (window) this.notes.push('the screen is not shown; --display vnc=127.0.0.1:5900 would show it')
    if (display === '' && layout !== '') this.leave(`-k ${last['k']}`, 'keys are those of the terminal')
    const words = [...(/^(none|vnc=.*|curses|)$/.test(kind) ? [] : [kind]), ...more]
    if (words.length > 0) this.leave(`-display ${words.join(',')}`, 'there are no windows here')
    if (last['vga'] === 'none') this.add('--vga', 'none')
    else if (this.has('--kernel') && (display !== '' || window) && !this.has('--device', /^VGA/))
      this.add('--vga', 'std')
    // Beside a display on the terminal the first port is not connected.
    const usual = display === 'terminal' ? 'none' : 'stdio'
    if (this.serialTargets.some((target) => target !== usual))
      for (const target of this.serialTargets) this.add('--serial', target)
  }
}

/**
 * Translates a whole line.
 *
 * @param line - the words, with or without the program's name
 * @param terminal - whether a terminal can show the guest's screen
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
    if (name === word) into.option('hda', word)
    else into.option(name, SWITCHES.has(name) ? '' : (words.shift() ?? ''))
  }
  into.finish({ isArm: system === 'aarch64', is32Bit: system === 'i386', terminal })
  return into
}

/**
 * Returns the replacement for an option of QEMU's, with one dash or two.
 *
 * @param args - the command line of the option
 * @returns undefined for an option that QEMU does not have either
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
  if (alone.complaints.length > 0) return undefined
  if (words.length === 0)
    return `leave it out: ${/ \((.*)\)$/.exec(alone.notes[0] ?? '')?.[1] ?? 'it is so here in any case'}`
  const command = RUN_ONLY.test(words[0] ?? '') ? 'retrap run ' : ''
  if (command === '' && words[0] === option) return undefined
  return `write ${command}${words.join(' ')}; retrap qemu takes whole lines of QEMU's`
}
