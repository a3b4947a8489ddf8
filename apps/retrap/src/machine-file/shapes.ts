import { MODULE_PROPERTIES } from '../devices/device-modules.ts'
import { deviceProperties } from '../devices/devices.ts'
import { DRIVE_KEYS } from '../drives/drives.ts'
import { FSDEV_KEYS, parseShare, VIRTFS_KEYS } from '../share/share-options.ts'
import { CHARDEV_KEYS } from '../serial/serial-options.ts'
import { VSOCK_KEYS } from '../network/vsock-option.ts'
import { NETDEV_KEYS, REPEATABLE_NETDEV_KEYS } from '../network/netdevs.ts'

/** How an object of a machine file becomes the text of an option: `HEAD,key=value,…`. */
export interface Shape {
  /** The key whose value comes first, without its name. */
  readonly head?: string
  /** The key that a text stands for which is given instead of an object. */
  readonly short: string
  /** The keys, beside the head, of an object with this head. Undefined: the parser of the option judges the head. */
  readonly keys: (head: string) => readonly string[] | undefined
  /** Heads that are known, for a schema. */
  readonly heads?: readonly string[]
  /** Keys that may have several values. */
  readonly repeatable?: readonly string[]
  /** Keys that name files. */
  readonly paths: readonly string[]
  /** Takes a text apart that is not as on the command line and stands for more than one key. @throws CliError */
  readonly split?: (text: string) => Readonly<Record<string, string | boolean>>
  /** Joins head and pairs; default with commas. */
  readonly text?: (values: Readonly<Record<string, string>>) => string
}

const OF_NETWORK = ['id', 'pcap']
const OF_CARD = ['mac', 'model', 'addr', 'bootindex', 'romfile']

const own = <T>(table: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(table, key) ? table[key] : undefined

const devices = deviceProperties()

const networkKeys = (kind: string): readonly string[] | undefined => {
  const keys = own(NETDEV_KEYS, kind)
  return keys && [...keys, ...OF_NETWORK]
}

/** Options whose value has parts. */
export const SHAPES: Readonly<Record<string, Shape>> = {
  drive: { short: 'file', keys: () => DRIVE_KEYS, paths: ['file'] },
  device: {
    head: 'name',
    short: 'name',
    keys: (name) => own(devices, name) ?? (/[./\\]/.test(name) ? MODULE_PROPERTIES : undefined),
    heads: Object.keys(devices),
    paths: ['romfile'],
  },
  chardev: {
    head: 'kind',
    short: 'kind',
    keys: (kind) => {
      const keys = own(CHARDEV_KEYS, kind)
      return keys && ['id', ...keys]
    },
    heads: Object.keys(CHARDEV_KEYS),
    paths: ['path'],
  },
  netdev: {
    head: 'kind',
    short: 'kind',
    keys: networkKeys,
    heads: Object.keys(NETDEV_KEYS),
    repeatable: REPEATABLE_NETDEV_KEYS,
    paths: ['tftp'],
  },
  nic: {
    head: 'kind',
    short: 'kind',
    keys: (kind) => (kind === 'none' ? [] : networkKeys(kind)?.concat(OF_CARD)),
    heads: [...Object.keys(NETDEV_KEYS), 'none'],
    repeatable: REPEATABLE_NETDEV_KEYS,
    paths: ['tftp', 'romfile'],
  },
  share: {
    short: 'path',
    keys: () => ['tag', 'path', 'readonly'],
    paths: ['path'],
    split: (text) => {
      const { tag, path, readOnly } = parseShare(text)
      return { tag, path, readonly: readOnly }
    },
    text: ({ tag = '', path = '', readonly = 'off' }) =>
      `${tag.replaceAll(',', ',,')}=${path.replaceAll(',', ',,')},readonly=${readonly}`,
  },
  virtfs: {
    head: 'driver',
    short: 'driver',
    keys: (driver) => (driver === 'local' ? VIRTFS_KEYS : undefined),
    heads: ['local'],
    paths: ['path'],
  },
  fsdev: {
    head: 'driver',
    short: 'driver',
    keys: (driver) => (driver === 'local' ? FSDEV_KEYS : undefined),
    heads: ['local'],
    paths: ['path'],
  },
  vsock: { short: 'uds', keys: () => VSOCK_KEYS, paths: ['uds'] },
  boot: { short: 'order', keys: () => ['order', 'menu'], paths: [] },
  module: {
    short: 'file',
    keys: () => ['file', 'text'],
    paths: ['file'],
    text: ({ file = '', text = '' }) => `${file} ${text}`,
  },
}

/** Options whose value is the name of a file that is read. Relative names start from the machine file's folder. */
export const PATH_OPTIONS: ReadonlySet<string> = new Set([
  ...['kernel', 'initrd', 'firmware', 'firmware-vars', 'hda', 'hdb', 'hdc', 'hdd', 'cdrom', 'option-rom', 'fda', 'fdb'],
])
