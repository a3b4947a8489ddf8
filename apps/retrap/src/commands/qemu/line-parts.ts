import type { DeviceLine } from '../../machine/devices/qemu-devices.ts'
import { Pairs } from '../../options/pairs.ts'
import { firstKey, mistakesIn } from './lists.ts'

/** The parts of a QEMU command line as they are parsed: their translation, and the words that were not read. */
export class LineParts implements DeviceLine {
  /** Options for `retrap run`, each with its value. */
  readonly options: (readonly [option: string, value?: string])[] = []
  /** Sentences about differences from the line. */
  readonly notes: string[] = []
  /** Sentences about parts without an equivalent here. */
  readonly complaints: string[] = []
  isArm = false
  protected readonly drives: Pairs[] = []
  protected readonly nodes: Map<string, Pairs> = new Map()
  protected readonly networks: Pairs[] = []
  protected readonly objects: Pairs[] = []
  /** Devices, created at the end, when everything that they refer to is known. */
  protected readonly devices: Pairs[] = []
  protected readonly chardevs: Map<string, Pairs> = new Map()
  /** Chardevs whose stream another option has. */
  protected readonly taken: Set<string> = new Set()
  protected readonly serialTargets: string[] = []
  protected readonly globalWords: {
    readonly words: string
    readonly driver: string
    readonly pair: readonly [string, string]
  }[] = []
  protected readonly used: Set<object> = new Set()
  /** The words of `-action`. */
  protected actions: Pairs | undefined
  /** Options as lists of words; a word that nothing reads is left out, and a note says so. */
  protected readonly lists: (readonly [option: string, pairs: Pairs, why: string])[] = []
  /** Options of which the last mention counts, or which another part of the line requires. */
  protected readonly last: Record<string, string> = {}

  add(option: string, value?: string): void {
    this.options.push(value === undefined ? [option] : [option, value])
  }

  has(option: string, value: RegExp = /^/): boolean {
    return this.options.some(([name, text = '']) => name === option && value.test(text))
  }

  protected leave(what: string, why: string): void {
    this.notes.push(`left out: ${what} (${why})`)
  }

  /** Reads a list of an option, and checks its words. @param why - the reason for words that nothing reads */
  protected list(option: string, value: string, why = 'it has no meaning here', keys: string = option): Pairs {
    const pairs = new Pairs(value, firstKey(keys))
    this.complaints.push(...mistakesIn(keys, pairs))
    this.lists.push([option, pairs, why])
    return pairs
  }

  takeChardev(id: string): string {
    const pairs = this.chardevs.get(id)
    if (pairs === undefined) return id
    const [path, host, port] = ['path', 'host', 'port'].map((key) => pairs.get(key))
    const isSocket = pairs.kind === 'socket'
    const address = isSocket ? (path === undefined ? `tcp:${host ?? ''}:${port}` : `unix:${path}`) : pairs.kind
    const target = isSocket || path === undefined ? address : `${pairs.kind}:${path}`
    if (isSocket && !this.taken.has(id)) this.#noteSocket(`-chardev ${id}`, pairs)
    if (!this.taken.has(id)) this.notes.push(`-chardev ${pairs.text}: its stream is ${target}`)
    this.taken.add(id)
    return target
  }

  serial(value: string): void {
    this.serialTargets.push(this.placeOf('serial', value))
  }

  /** Returns the target of a monitor's or port's stream, also of a chardev or of a stream shared with a monitor; or `none`. */
  protected placeOf(option: string, given: string): string {
    const value = given.replace(/^mon:/, '')
    if (value !== given) {
      this.last['mux'] = 'on'
      this.notes.push(`-${option} ${given}: Ctrl-A c goes to the monitor`)
    }
    const [, id] = /^chardev:(.*)$/.exec(value) ?? []
    if (id !== undefined) {
      if (!this.chardevs.has(id)) this.complaints.push(`-${option} ${given}: there is no -chardev with id=${id}`)
      if (this.chardevs.get(id)?.peek('mux') === 'on') this.last['mux'] = value
      return this.takeChardev(id)
    }
    if (/^(null|vc(:\d+C?x\d+C?)?|\/dev\/null)$/.test(value)) {
      this.notes.push(`-${option} ${given}: it is connected to nothing`)
      return 'none'
    }
    const [, kind, rest = ''] = /^(tcp|telnet|unix):(.*)$/.exec(value) ?? []
    if (kind === undefined) return value
    const pairs = this.list(option, rest, 'every socket listens, and nothing waits for its client')
    if (kind === 'telnet') this.notes.push(`-${option} ${given}: the socket has the bytes alone, without telnet's`)
    this.#noteSocket(`-${option} ${given}`, pairs)
    return `${kind === 'unix' ? kind : 'tcp'}:${pairs.kind.replace(/^:/, '')}`
  }

  /** Notes that the socket differs from the one in the words. */
  #noteSocket(what: string, pairs: Pairs): void {
    if (pairs.peek('server') !== 'on' || pairs.peek('wait') !== 'off')
      this.notes.push(`${what}: it listens there, and the machine waits for no program`)
  }

  needsQ35(): void {
    this.last['machine'] ??= 'q35'
  }

  placeDrive(device: Pairs, media: string): void {
    const id = device.get('drive')
    const drive = this.drives.find((one) => one.get('id') === id) ?? this.openNode(id)
    drive?.set('if', 'ide')
    drive?.set('media', media)
    for (const key of ['bootindex', 'serial']) if (device.has(key)) drive?.set(key, device.get(key)!)
  }

  globals(driver: string): readonly (readonly [key: string, value: string])[] {
    const found = this.globalWords.filter((one) => one.driver === driver)
    for (const one of found) {
      if (!this.used.has(one)) this.notes.push(`-global ${one.words}: ${driver} has it here`)
      this.used.add(one)
    }
    return found.map(({ pair }) => pair)
  }

  action(event: 'watchdog' | 'panic'): string | undefined {
    return this.actions?.get(event)
  }

  /** Makes a drive of a node of `-blockdev`. */
  protected openNode(id: string | undefined): Pairs | undefined {
    const node = this.nodes.get(id ?? '')
    if (node === undefined) return undefined
    const below = this.nodes.get(node.peek('file') ?? '') ?? node
    const { kind } = node
    const file = below.get('filename') ?? node.get('file.filename')
    for (const one of [node, below]) this.used.add(one)
    node.get('node-name')
    if (file === undefined || !/^(raw|qcow2|file|host_device)$/.test(kind))
      this.complaints.push(`-blockdev ${id}: write driver=raw or qcow2 with a file`)
    const drive = new Pairs('')
    drive.set('if', 'none')
    drive.set('id', id!)
    drive.set('file', file ?? '')
    drive.set('format', kind === 'qcow2' ? kind : 'raw')
    if ([node, below].some((one) => one.peek('read-only') === 'on')) drive.set('readonly', 'on')
    this.drives.push(drive)
    return drive
  }

  protected noteUnread(): void {
    for (const one of this.globalWords)
      if (!this.used.has(one)) this.leave(`-global ${one.words}`, 'no device here has it')
    for (const [id, node] of this.nodes)
      if (!this.used.has(node)) this.leave(`-blockdev ${node.text}`, `no device uses ${id}`)
    for (const [option, pairs, why] of this.lists)
      if (pairs.unread.length > 0) this.leave(`-${option} ${pairs.unread.join(',')}`, why)
  }
}
