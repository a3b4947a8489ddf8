/** QEMU's command line in options of ours. Source: QEMU, "Invocation" (docs/system/invocation.rst). */
import { REPLACEMENTS } from './words.ts'
import { translateDevice } from '../../machine/devices/qemu-devices.ts'
import { LineParts } from './line-parts.ts'
import { Pairs, pairsOf } from '../../options/pairs.ts'
import { firstKey, mistakesIn } from './lists.ts'
import * as words from './words.ts'

const NO_CARD = 'there is no card without it'
const NO_FAT = 'write --share TAG=FOLDER, or make an image of the folder with mformat and mcopy of mtools'

/** Reads a line of QEMU's. Each word of the line becomes part of an option of ours, or a note or complaint names it. */
export class Translation extends LineParts {
  /** Translates one option, given without its dashes. */
  option(given: string, text: string): void {
    const alias = Object.hasOwn(words.ALIASES, given) ? words.ALIASES[given] : undefined
    const [name, value] = alias?.(text) ?? [given, text]
    if (words.MERGED.has(name)) return this.#merge(name, value)
    const before = this.last[name]
    if (before !== undefined && words.LAST_COUNTS.has(name)) {
      const at = this.options.findIndex(([one]) => one === `--${name}`)
      if (at >= 0) this.options.splice(at, 1)
      if (before !== value) this.leave(`-${name} ${before}`, `a later -${name} counts`)
    } else if (before !== undefined && /^([hf]d[a-d]|cdrom)$/.test(name))
      this.complaints.push(`-${name} ${value}: ${before} is there already`)
    const translate = Object.hasOwn(this.#translations, name) ? this.#translations[name] : undefined
    if (/^(drive|blockdev|[hf]d[a-d]|cdrom)$/.test(name) && /(^|[=:,"])(fat:|vvfat\b)/.test(value))
      this.complaints.push(`-${name} ${value}: ${NO_FAT}`)
    else if (words.SAME.has(name)) this.add(`--${name}`, words.SWITCHES.has(name) ? undefined : value)
    else if (translate !== undefined) translate(value)
    else this.#without(name, value)
    this.last[name] = value
  }

  /** Leaves out an option that changes nothing of the machine, or refuses it. */
  #without(name: string, value: string): void {
    const ours = Object.hasOwn(words.LEFT_OUT, name) ? words.LEFT_OUT[name] : undefined
    const known = Object.hasOwn(REPLACEMENTS, `-${name}`) ? REPLACEMENTS[`-${name}`] : undefined
    const instead = ours ?? known ?? 'it is unknown'
    const [, why = ours] = /^leave it out: (.*)$/s.exec(instead) ?? []
    if (instead === 'it is unknown') this.complaints.push(`-${name} ${value}: ${instead}`)
    else if (why === undefined) this.complaints.push(`-${name}: ${instead}`)
    else if (value === '') this.leave(`-${name}`, why)
    else this.list(name, value, why)
  }

  /** The words of options whose mentions are one list. */
  readonly #merged = new Map<string, Map<string, string>>()

  #merge(name: string, value: string): void {
    const list = this.#merged.get(name) ?? new Map<string, string>()
    this.#merged.set(name, list)
    for (const [key, text] of pairsOf(value, firstKey(name))) {
      const before = list.get(key) ?? text
      if (before !== text) this.leave(`-${name} ${key}=${before}`, `a later ${key}= counts`)
      list.set(key, text)
    }
  }

  /** Translates the merged keys of all mentions of an option. */
  #mergedText(name: string): string {
    return [...(this.#merged.get(name) ?? [])].map(([key, text]) => `${key}=${text.replaceAll(',', ',,')}`).join(',')
  }

  readonly #translations: Readonly<Record<string, (value: string) => void>> = {
    m: (value) => {
      const { kind } = this.list('m', value, 'memory is there from the start')
      if (/^\d/.test(kind)) this.add('--memory', kind.toUpperCase().replace(/\d$/, '$&M'))
    },
    smp: (value) => {
      const pairs = this.list('smp', value, 'each CPU is a socket of its own')
      const cpus = words.cpusOf(pairs)
      if (cpus === undefined) this.complaints.push(`-smp ${value}: these are not the CPUs of one topology`)
      else this.add('--cpus', pairs.kind || `${cpus}`)
    },
    cpu: () => {},
    bios: () => {},
    pflash: (value) => this.#drive(`if=pflash,format=raw,file=${value.replaceAll(',', ',,')}`),
    drive: (value) => this.#drive(value),
    blockdev: (value) => {
      const pairs = this.list('blockdev', value, 'it says how the host reads the file')
      this.nodes.set(pairs.get('node-name') ?? '', pairs)
    },
    boot: (value) => {
      const pairs = this.list('boot', value, 'firmware has no such setting')
      const once = pairs.get('once')
      if (once !== undefined) {
        this.notes.push(`-boot once=${once}: it counts for every start`)
        if (pairs.kind !== '') this.leave(`-boot order=${pairs.kind}`, 'once= counts')
      }
      const [order, menu] = [once ?? pairs.kind, pairs.get('menu')]
      const text = [...(order === '' ? [] : [`order=${order}`]), ...(menu === undefined ? [] : [`menu=${menu}`])]
      if (text.length > 0) this.add('--boot', text.join(','))
    },
    nographic: () => {},
    nodefaults: () => {},
    vnc: () => {},
    display: (value) => value.startsWith('vnc=') && this.option('vnc', value.slice(4)),
    k: () => {},
    vga: (value) => void this.list('vga', value).kind,
    serial: (value) => void (this.last[`serial ${Object.keys(this.last).length}`] = value),
    chardev: (value) => {
      const pairs = this.list('chardev', value, 'what uses the stream has it alone, and sockets wait for nothing')
      const id = pairs.peek('id') ?? ''
      if (id === '' || pairs.kind === '') this.complaints.push(`-chardev ${value}: write its kind, and id=NAME`)
      this.chardevs.set(id, pairs)
    },
    mon: (value) => {
      const pairs = this.list('mon', value, 'it is the one in front, and answers have one form')
      this.#monitors.push([`chardev:${pairs.kind}`, pairs.peek('mode') === 'control'])
    },
    monitor: (value) => void this.#monitors.push([value, false]),
    qmp: (value) => void this.#monitors.push([value, true]),
    debugcon: () => {},
    global: (value) => {
      const given = new Map(new Pairs(value, '').all)
      const [, driver = given.get('driver'), key = given.get('property'), text = given.get('value')] =
        /^([^,=]*)\.([^.,=]*)=(.*)$/s.exec(value) ?? []
      if (driver === undefined || key === undefined || text === undefined)
        this.complaints.push(`-global ${value}: write DRIVER.PROPERTY=VALUE`)
      else this.globalWords.push({ words: value, driver, pair: [key, text] })
    },
    nic: (value) => (value === 'none' ? this.leave('-nic none', NO_CARD) : this.#card(this.list('nic', value))),
    netdev: (value) => {
      const pairs = this.list('netdev', value, 'the network is IPv4 and has no such part')
      this.networks.push(pairs.without(/^(smb.*|ipv[46].*|dnssearch|vlan|name)$/))
    },
    net: (value) => {
      const [kind = '', ...rest] = value.split(',')
      if (kind === 'none') this.leave(`-net ${value}`, NO_CARD)
      else if (!/^(user|nic)$/.test(kind)) this.complaints.push(`-net ${value}: there are user, nic and none`)
      else if (kind === 'nic' && 'net nic' in this.last)
        this.complaints.push('-net nic: there is one already; write -netdev and -device for each card')
      this.last[`net ${kind}`] = [this.last[`net ${kind}`] ?? '', ...rest].join(',')
    },
    device: (value) => void this.devices.push(this.list('device', value, 'the device is here without it')),
    usb: () => void this.devices.push(new Pairs('qemu-xhci')),
    usbdevice: (value) => void this.devices.push(new Pairs(`usb-${value.replace('keyboard', 'kbd')}`)),
    soundhw: (value) => {
      if (value === 'pcspk') return this.leave('-soundhw pcspk', 'it is always there')
      this.notes.push(`--device AC97 stands for -soundhw ${this.list('soundhw', value).kind}`)
      this.devices.push(new Pairs('AC97'))
    },
    audiodev: (value) => {
      const pairs = this.list('audiodev', value, 'a file is the only host of sound')
      if (pairs.kind === 'wav') this.add('--audio', `wav:${pairs.get('path') ?? 'qemu.wav'}`)
      else this.leave(`-audiodev ${pairs.text}`, 'the host plays nothing; wav,path=FILE writes it')
    },
    virtfs: (value) => {
      const pairs = this.list('virtfs', value, 'owners are those of the host')
      this.add('--virtfs', pairs.without(/^(security_model|id|writeout|multidevs|fmode|dmode)$/).text)
    },
    fsdev: (value) => {
      const pairs = this.list('fsdev', value, 'owners are those of the host, and its folders have one identity')
      this.add('--fsdev', pairs.without(/^(writeout|multidevs|fmode|dmode)$/).text)
    },
    S: () => {},
    gdb: () => {},
    icount: (value) => {
      const pairs = this.list('icount', value, 'an instruction takes what the clock of --deterministic says')
      const mode = pairs.get('rr')
      if (mode === undefined) this.add('--deterministic')
      else this.add(`--${mode}`, pairs.get('rrfile') ?? 'replay.bin')
    },
    d: () => {},
    D: () => {},
    fw_cfg: (value) => {
      const pairs = this.list('fw_cfg', value.replace(/^(?!name=)(?=[^,=]+,)/, 'name='))
      this.add('--fw-cfg', pairs.text)
    },
    smbios: (value) => {
      if (/(^|,)type=(1|11)(,|$)/.test(value)) this.add('--smbios', value)
      else this.list('smbios', value, 'the tables have types 1 and 11')
    },
    uuid: () => {},
    rtc: (value) => {
      const { kind } = this.list('rtc', value, 'the clock follows the host, or the instructions')
      if (kind === 'utc') this.leave('-rtc base=utc', 'it is so here in any case')
      else if (kind !== '') this.add('--rtc', kind)
    },
    object: (value) => void this.objects.push(this.list('object', value, 'it says how the host does it')),
    watchdog: (value) => void this.devices.push(new Pairs(value)),
    action: (value) => {
      this.actions = this.list('action', value, 'no device here acts so, and a guest that powers off ends the run')
      if (this.actions.peek('reboot') !== 'shutdown') return
      this.add('--no-reboot')
      this.notes.push(`-action reboot=${this.actions.get('reboot')}: it is --no-reboot`)
    },
  }

  readonly #monitors: (readonly [target: string, isQmp: boolean])[] = []

  /** Traces the log items of `-d` that retrap has. */
  #log(value: string): void {
    const what: Readonly<Record<string, readonly string[]>> = { int: ['exceptions', 'irq'], in_asm: ['insn'] }
    for (const item of value.split(',')) {
      const traces = what[item] ?? []
      for (const trace of traces) this.add('--trace', trace)
      if (traces.length > 0) this.notes.push(`-d ${item}: it is --trace ${traces.join(' and ')}`)
      else if (words.LOG_ITEM.test(item)) this.leave(`-d ${item}`, 'there are int and in_asm; --trace has more')
      else this.complaints.push(`-d ${item}: there is no such item`)
    }
  }

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
      if (network !== undefined) {
        this.notes.push(`-object ${pairs.text}: it is pcap= of --netdev`)
        return network.set('pcap', pairs.get('file') ?? 'qemu.pcap')
      }
    }
    if (why === undefined) this.complaints.push(`-object ${kind}: there is no such object here; leave it out`)
    else this.leave(`-object ${pairs.text}`, why)
  }

  #drive(value: string): void {
    const pairs = this.list('drive', value, 'the drive is here without it')
    pairs.without(/^(cache\.|file\.(?!filename)|locking|copy-on-read|throttling|boot$)/)
    pairs.rename('file.filename', 'file')
    if (pairs.get('if') === 'virtio' && pairs.get('media') === 'cdrom') {
      pairs.without(/^media$/).set('readonly', 'on')
      this.notes.push('-drive if=virtio,media=cdrom: it is a disk that cannot be written, as in QEMU')
    }
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
  finish(
    machine: { readonly isArm: boolean | undefined; readonly is32Bit?: boolean; readonly terminal: boolean } | null,
  ): void {
    const last = this.last
    if (this.devices.some((one) => /^(ich9-)?ahci$/.test(one.kind))) this.needsQ35()
    this.#board(machine?.isArm)
    const others = this.options.splice(0)
    for (const name of this.#merged.keys())
      if (name !== 'machine')
        (this.#translations[name] ?? ((text) => this.#without(name, text)))(this.#mergedText(name))
    this.options.push(...others)
    if ('bios' in last) this.add('--firmware', last['bios']!)
    if ('uuid' in last) this.add('--smbios', `type=1,uuid=${this.list('uuid', last['uuid']!).kind}`)
    if ('d' in last) this.#log(last['d']!)
    for (const [key, value] of Object.entries(last)) if (key.startsWith('serial ')) this.serial(value)
    if ('debugcon' in last) {
      const target = this.placeOf('debugcon', last['debugcon']!)
      if (/^(stdio|stderr|file:.+)$/.test(target)) this.devices.push(new Pairs(`isa-debugcon,chardev=${target}`))
      else if (target === 'none') this.leave(`-debugcon ${last['debugcon']}`, 'there is none without it')
      else this.complaints.push(`-debugcon ${last['debugcon']}: write stdio or file:FILE`)
    }
    if ('net nic' in last || 'net user' in last)
      this.#card(this.list('net', `user${last['net user'] ?? ''}${last['net nic'] ?? ''}`))
    if (!/^(none|std)$/.test(last['vga'] ?? 'std')) this.devices.push(new Pairs(`${last['vga']}-vga`))
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
    if ('gdb' in last) {
      const pairs = this.list('gdb', last['gdb']!, 'gdb attaches when it likes')
      const parts = [pairs.kind.replace('tcp::', 'tcp:127.0.0.1:'), ...('S' in last ? ['wait'] : [])]
      this.add('--gdb', [...parts, ...(machine?.is32Bit === true ? ['arch=i386'] : [])].join(','))
    } else if ('S' in last) this.add('--paused')
    if ('D' in last && this.has('--trace')) this.add('--trace-to', last['D'])
    else if ('D' in last) this.leave(`-D ${last['D']}`, 'nothing is traced')
    for (const [target, isQmp] of this.#monitors) this.#monitor(target, isQmp)
    for (const [id, chardev] of this.chardevs) this.#chardev(id, chardev)
    this.#screen(machine === null ? null : this.isArm ? 'none' : machine.terminal)
    if ('mux' in last || ('nographic' in last && machine !== null && !('monitor' in last || 'nodefaults' in last)))
      this.#mux()
    this.noteUnread()
  }

  #monitor(value: string, isQmp: boolean): void {
    const option = isQmp ? '-qmp' : '-monitor'
    // A chardev with mux=on has a serial port and the monitor.
    if (!isQmp && value === this.last['mux']) return this.#mux()
    if (/^(none|null|vc|\/dev\/null)$/.test(value)) return this.leave(`${option} ${value}`, 'Ctrl-A c takes commands')
    const target = this.placeOf(isQmp ? 'qmp' : 'monitor', value)
    if (target === 'stdio' && !isQmp) return this.#mux()
    this.add(`-${option}`, target)
  }

  /** Adds a chardev, if a device has it. */
  #chardev(id: string, chardev: Pairs): void {
    const isUsed = this.options.some(([, text = '']) => text.split(',').includes(`chardev=${id}`))
    chardev.without(/^(mux|signal|logfile|logappend|append|telnet|nodelay|reconnect.*)$/)
    if (!isUsed && this.taken.has(id)) return
    if (!isUsed) return this.leave(`-chardev ${chardev.text}`, 'no device has it')
    if (chardev.has('server')) chardev.set('wait', 'off')
    this.add('--chardev', chardev.text)
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
    const [given = '', ...changes] = value.split(',')
    this.complaints.push(...mistakesIn('cpu', new Pairs(value, 'model')))
    const wrong = changes.filter((word) => !/^[+-]?[\w.-]+(=.+)?$/.test(word))
    if (wrong.length > 0) this.complaints.push(`-cpu ${wrong.join(',')}: write +NAME, -NAME or NAME=VALUE`)
    if (this.isArm) return this.leave(`-cpu ${value}`, 'the processor has all of Armv8.4-A')
    const [cpu, others] = words.cpuOf(value)
    if (!cpu.startsWith(given)) this.notes.push(`the processor is --cpu ${cpu}, not ${given}`)
    if (others.length > 0) this.leave(`-cpu ${others.join(',')}`, 'the processor does not have it, or has it always')
    if (cpu !== 'max' || given === 'max') this.add('--cpu', cpu)
  }

  /** @param isArm - the architecture of the program that the line names; undefined: it names none */
  #board(isArm: boolean | undefined): void {
    const given = pairsOf(this.#mergedText('machine'), 'type').findLast(([key]) => key === 'type')?.[1]
    const name = given ?? this.last['machine'] ?? ''
    const [, pc] = /^(?:pc-)?(q35|pc|i440fx)(?:-\d+\.\d+)?$/.exec(name) ?? []
    const isVirt = /^virt(-\d+\.\d+)?$/.test(name)
    this.isArm = isArm === true || isVirt
    const isNone = name === '' && isArm !== true
    if (name === 'microvm')
      return void this.complaints.push(
        '-machine microvm: there is none; write -machine q35, where a kernel starts as soon, with PCI: virtio-blk-pci for virtio-blk-device',
      )
    if (!isNone && (isVirt ? isArm === false : pc === undefined || isArm === true))
      this.complaints.push(`-machine ${name || 'none'}: there are pc, q35, and virt of qemu-system-aarch64`)
    const why = 'the board does without it, or has it always'
    const pairs = this.list('machine', this.#mergedText('machine'), why, isVirt ? 'machine virt' : 'machine')
    const [gic, smm] = [pairs.get('gic-version'), pairs.peek('smm') ?? 'auto']
    if (isVirt) {
      this.add('--arch', 'arm64')
      const version = gic === undefined || /^[23]$/.test(gic) ? gic : '3'
      if (version !== gic) this.notes.push(`-machine gic-version=${gic}: it is 3`)
      this.add('--machine', version === undefined ? 'virt' : `virt,gic-version=${version}`)
    } else if (!isNone || smm !== 'auto') {
      const board = pc === 'q35' ? 'q35' : 'pc'
      this.add('--machine', smm === 'auto' ? board : `${board},smm=${pairs.get('smm')}`)
    }
    const isNamed = this.options.some(
      ([option, text = '']) => option === '--machine' && text.split(',')[0] === pairs.kind,
    )
    if (pairs.kind !== '' && !isNamed) this.leave(`-machine ${name}`, 'the board is of no version')
    if ('cpu' in this.last) this.#cpu(this.last['cpu']!)
    const dump = pairs.get('dumpdtb')
    if (dump !== undefined) this.add('--dumpdtb', dump)
    if (pairs.peek('usb') === 'on') {
      this.devices.push(new Pairs('qemu-xhci'))
      this.notes.push(`-machine usb=${pairs.get('usb')}: it is --device qemu-xhci`)
    }
    if (pairs.peek('graphics') === 'off') this.last['nographic'] = ''
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
    const isBare = 'nodefaults' in last
    if (isBare && this.serialTargets.length === 0) this.serialTargets.push('none')
    const hasPorts = this.serialTargets.length > 0
    const vnc = last['vnc'] === 'none' ? undefined : last['vnc']
    const given = last['display'] ?? ('vnc' in last || 'nographic' in last ? 'none' : '')
    const kind = vnc === undefined ? given.split(',')[0]! : 'vnc'
    const hasCard = this.has('--device', /^(VGA|ramfb)/)
    const card = last['vga'] ?? (isBare && !hasCard && !this.isArm ? 'none' : undefined)
    const hasWindow = terminal !== null && terminal !== 'none'
    if (!hasPorts && kind !== 'none' && hasWindow) this.serialTargets.push('none')
    const window = hasWindow && !/^(none|vnc)$/.test(kind) && (hasCard || card !== 'none')
    const isFree = !this.serialTargets.includes('stdio') && !this.has('--chardev', /^stdio/)
    const isTerminal = kind === 'curses' || (window && terminal && isFree && !('daemonize' in last))
    const display = vnc !== undefined ? this.#vnc(vnc) : isTerminal ? 'terminal' : ''
    const layout = 'k' in last ? `,layout=${last['k']!.replace('en-', '')}` : ''
    if (display !== '') this.add('--display', `${display}${layout}`)
    else if (window) this.notes.push('the screen is not shown; --display vnc=127.0.0.1:5900 would show it')
    if (display === '' && layout !== '') this.leave(`-k ${last['k']}`, 'keys are those of the terminal')
    else if (layout !== '') this.notes.push(`-k ${last['k']}: it is${layout.replace(',', ' ')}`)
    if (last['display']?.startsWith('vnc=') === false) {
      const pairs = this.list('display', last['display'], 'there are no windows here')
      if (kind === 'curses') this.notes.push(`-display ${pairs.kind}: it is --display terminal`)
    }
    if ('nographic' in last && !/^(none|vnc)$/.test(kind)) this.leave('-nographic', `-display ${kind} counts`)
    if (last['vnc'] === 'none') this.leave('-vnc none', 'it is shown where --display says')
    if (isBare) this.leave('-nodefaults', 'nothing is there that the line does not name, but the board')
    const isShown = this.has('--kernel') && (display !== '' || window)
    if (card === 'none' && !(isBare && hasCard)) this.add('--vga', 'none')
    else if (!hasCard && (card === 'std' || isShown)) this.add('--vga', 'std')
    else if (card === 'std') this.leave('-vga std', '--device VGA is the card')
    // Beside a display on the terminal the first port is not connected.
    const usual = display === 'terminal' ? 'none' : 'stdio'
    if (hasPorts || this.serialTargets.some((target) => target !== usual))
      for (const target of this.serialTargets) this.add('--serial', target)
  }

  /** Returns the place of `-vnc`. */
  #vnc(value: string): string {
    const [, host = '', number, more] = /^([^,]*):(\d+)(?:,(.*))?$/.exec(value) ?? []
    if (number === undefined) this.complaints.push(`-vnc ${value}: write HOST:DISPLAY, as in 127.0.0.1:1`)
    else if (/password|tls|sasl|x509|acl|authz/.test(more ?? ''))
      this.complaints.push(`-vnc ${value}: write --display vnc=127.0.0.1:5901,password=TEXT`)
    else if (more !== undefined) this.leave(`-vnc ${more}`, 'the server has its port alone')
    return number === undefined ? '' : `vnc=${host || '127.0.0.1'}:${words.FIRST_VNC_PORT + Number(number)}`
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
  const [, program, system = 'x86_64'] = /^(?:.*\/)?(qemu-system-(\w+)|qemu-kvm|kvm|qemu)$/.exec(first) ?? []
  const rest = [...line]
  if (program !== undefined) rest.shift()
  const into = new Translation()
  if (!/^(x86_64|i386|aarch64)$/.test(system)) into.complaints.push(`there is no board of ${first}`)
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const name = word.replace(/^--?/, '')
    if (name === word) into.option('hda', word)
    else into.option(name, words.SWITCHES.has(name) ? '' : (rest.shift() ?? ''))
  }
  const isArm = program === undefined ? undefined : system === 'aarch64'
  into.finish({ isArm, is32Bit: system === 'i386', terminal })
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
  const alone = aloneOf(name, value ?? words.EXAMPLES[name] ?? 'VALUE', words.EXAMPLES[name])
  const ours = alone.options.flatMap((one) => one)
  if (alone.complaints.length > 0) return undefined
  if (ours.length === 0)
    return `leave it out: ${/ \((.*)\)$/.exec(alone.notes[0] ?? '')?.[1] ?? 'it is so here in any case'}`
  const command = words.RUN_ONLY.test(ours[0] ?? '') ? 'retrap run ' : ''
  if (command === '' && ours[0] === option) return undefined
  return `write ${command}${ours.join(' ')}; retrap qemu takes whole lines of QEMU's`
}

/** Translates one option by itself. If its value is refused, the example's value replaces it. */
function aloneOf(name: string, value: string, example?: string): Translation {
  const alone = new Translation()
  alone.option(name, value)
  alone.finish(null)
  return alone.complaints.length > 0 && example !== undefined ? aloneOf(name, example) : alone
}
