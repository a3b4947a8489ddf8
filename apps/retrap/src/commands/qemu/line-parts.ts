import type { DeviceLine } from '../../machine/devices/qemu-devices.ts'
import { Pairs } from '../../options/pairs.ts'
import { placeOf } from './words.ts'

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
  protected readonly serialTargets: string[] = []
  protected readonly globalWords: {
    readonly words: string
    readonly driver: string
    readonly pair: readonly [string, string]
  }[] = []
  protected readonly used: Set<object> = new Set()
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

  /** Reads a list of an option. @param why - the reason for words that nothing reads */
  protected list(option: string, value: string, why = 'it has no meaning here', kind?: string): Pairs {
    const pairs = new Pairs(value, kind)
    this.lists.push([option, pairs, why])
    return pairs
  }

  takeChardev(id: string): string {
    const pairs = this.chardevs.get(id)
    if (pairs === undefined) return id
    this.chardevs.delete(id)
    const [path, host, port] = ['path', 'host', 'port'].map((key) => pairs.get(key))
    for (const key of ['id', 'server', 'wait']) pairs.get(key)
    if (pairs.kind === 'socket' && path === undefined) return `tcp:${host ?? ''}:${port}`
    return path === undefined ? pairs.kind : `${pairs.kind === 'socket' ? 'unix' : pairs.kind}:${path}`
  }

  serial(value: string): void {
    const [target, notes] = placeOf(this.streamOf(value))
    for (const note of notes) this.notes.push(`-serial ${value}: ${note}`)
    this.serialTargets.push(target)
  }

  /** Returns the stream of a chardev, also of one shared with a monitor. */
  protected streamOf(value: string): string {
    if (value.startsWith('mon:')) this.last['mux'] = 'on'
    return value
      .replace(/^chardev:(.*)$/, (_, id: string) => {
        if (this.chardevs.get(id)?.get('mux') === 'on') this.last['mux'] = value
        const stream = this.takeChardev(id)
        return /^(tcp|unix):/.test(stream) ? `${stream},server=on,wait=off` : stream
      })
      .replace(/^mon:/, '')
  }

  needsQ35(): void {
    this.last['machine'] ??= 'q35'
  }

  placeDrive(id: string | undefined, media: string): void {
    const drive = this.drives.find((one) => one.get('id') === id) ?? this.openNode(id)
    drive?.set('if', 'ide')
    drive?.set('media', media)
  }

  globals(driver: string): readonly (readonly [key: string, value: string])[] {
    const found = this.globalWords.filter((one) => one.driver === driver)
    for (const one of found) this.used.add(one)
    return found.map(({ pair }) => pair)
  }

  action(event: 'watchdog' | 'panic'): string | undefined {
    return this.last[`action ${event}`]
  }

  /** Makes a drive of a node of `-blockdev`. */
  protected openNode(id: string | undefined): Pairs | undefined {
    const node = this.nodes.get(id ?? '')
    if (node === undefined) return undefined
    const below = this.nodes.get(node.get('file') ?? '') ?? node
    const kind = node.kind || (node.get('driver') ?? '')
    const file = below.get('filename') ?? node.get('file.filename')
    node.get('node-name')
    for (const one of new Set([node, below])) {
      for (const key of ['driver', 'file.driver', 'node-name']) one.get(key)
      if (one !== node) this.used.add(one)
    }
    this.used.add(node)
    if (file === undefined || !/^(raw|qcow2|file|host_device)$/.test(kind))
      this.complaints.push(`-blockdev ${id}: write driver=raw or qcow2 with a file`)
    const drive = new Pairs('')
    drive.set('if', 'none')
    drive.set('id', id!)
    drive.set('file', file ?? '')
    drive.set('format', kind === 'qcow2' ? kind : 'raw')
    if ([node, below].some((one) => one.get('read-only') === 'on')) drive.set('readonly', 'on')
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
