import type { MachineVirtioPlace } from '@retrap/machine'
import type { OptionRow, Shape } from '../../options/option-table.ts'
import { type DeviceArgument, readPairs, splitPairs, usage } from '../../options/values.ts'
import { checkedProperties, virtioPlaceOf } from '../devices/pci-devices.ts'

/** A directory that the user shares with the guest. */
export interface ShareArgument extends MachineVirtioPlace {
  readonly kind: 'share'
  readonly path: string
  readonly tag: string
  readonly readOnly: boolean
}

export interface ShareFlags {
  readonly share?: readonly ShareArgument[]
  readonly fsdev?: readonly FsdevArgument[]
  readonly device?: readonly DeviceArgument[]
}

/** A directory for a `--device virtio-9p-pci`. */
interface FsdevArgument {
  readonly id: string
  readonly path: string
  readonly readOnly: boolean
}

const VIRTFS_KEYS: readonly string[] = ['path', 'mount_tag', 'security_model', 'readonly', 'id']
const FSDEV_KEYS: readonly string[] = ['id', 'path', 'security_model', 'readonly']
const MOST_TAG = 31

/** The shape of QEMU's options for directories. */
const localShape = (keys: readonly string[]): Shape => ({
  head: 'driver',
  short: 'driver',
  keys: (driver) => (driver === 'local' ? keys : undefined),
  heads: ['local'],
  paths: ['path'],
})

/** Options that share directories. `--virtfs` and `--fsdev` are QEMU's. */
export const SHARE_OPTIONS: readonly OptionRow[] = [
  {
    flags: '--share <tag=DIR,readonly=on>',
    help: 'directory for the guest by 9P: mount -t 9p -o trans=virtio,version=9p2000.L TAG /mnt; links are not followed (repeatable)',
    each: parseShare,
    shape: {
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
  },
  {
    flags: '--virtfs <local,path=DIR,mount_tag=TAG>',
    help: 'the same with names of QEMU: readonly=on, security_model=none (repeatable)',
    each: parseVirtfs,
    into: 'share',
    shape: localShape(VIRTFS_KEYS),
  },
  {
    flags: '--fsdev <local,id=ID,path=DIR>',
    help: 'directory for a --device virtio-9p-pci,fsdev=ID,mount_tag=TAG (repeatable)',
    each: parseFsdev,
    shape: localShape(FSDEV_KEYS),
  },
]

/** Reads `--share`: the tag is the first key. */
export function parseShare(text: string): ShareArgument {
  const [first = '', ...rest] = splitPairs(text)
  const at = first.indexOf('=')
  if (at < 1 || at === first.length - 1) throw usage(`--share ${text}: write TAG=DIR, such as work=./src`)
  const given = readPairs('--share', rest, ['readonly'])
  return {
    kind: 'share',
    tag: checkTag('--share', first.slice(0, at)),
    path: first.slice(at + 1),
    ...readOnly('--share', given),
  }
}

/** Reads `--virtfs`. */
export function parseVirtfs(text: string): ShareArgument {
  const { path, ...rest } = parseLocal('--virtfs', text, VIRTFS_KEYS)
  const tag = checkTag('--virtfs', rest.given.get('mount_tag') ?? '')
  return { kind: 'share', tag, path, ...readOnly('--virtfs', rest.given) }
}

/** Reads `--fsdev`. */
export function parseFsdev(text: string): FsdevArgument {
  const { path, given } = parseLocal('--fsdev', text, FSDEV_KEYS)
  const id = given.get('id') ?? ''
  if (id === '') throw usage(`--fsdev ${text} has no id for a --device; write id=NAME`)
  return { id, path, ...readOnly('--fsdev', given) }
}

function parseLocal(option: string, text: string, keys: readonly string[]) {
  const [driver = '', ...rest] = splitPairs(text)
  if (driver !== 'local') throw usage(`${option}: '${driver}' is unknown; write ${option} local,path=DIR`)
  const given = readPairs(option, rest, keys)
  const path = given.get('path') ?? ''
  if (path === '') throw usage(`${option} ${text} names no directory; write path=DIR`)
  const model = given.get('security_model') ?? 'none'
  if (model !== 'none')
    throw usage(`${option}: security_model=${model} is not there; none makes files that belong to you`)
  return { path, given }
}

function readOnly(option: string, given: ReadonlyMap<string, string>): { readonly readOnly: boolean } {
  const text = given.get('readonly') ?? 'off'
  if (text !== 'on' && text !== 'off') throw usage(`${option}: readonly=${text} is not on or off`)
  return { readOnly: text === 'on' }
}

/** Checks a tag's length, which Linux limits. */
function checkTag(option: string, tag: string): string {
  if (tag === '' || Buffer.byteLength(tag) > MOST_TAG)
    throw usage(`${option}: the tag '${tag}' has not 1 to ${MOST_TAG} bytes; it is the name that the guest mounts`)
  return tag
}

/** The directories that the options share. @throws CliError `ERR_USAGE` */
export function listShares({ share = [], fsdev = [], device = [] }: ShareFlags): readonly ShareArgument[] {
  const same = fsdev.find(({ id }, i) => fsdev.findIndex((one) => one.id === id) < i)
  if (same !== undefined) throw usage(`two --fsdev have the id '${same.id}'; give each its own`)
  const used = new Set<string>()
  const devices = device.filter(({ name }) => name === 'virtio-9p-pci')
  const named = devices.map((argument): ShareArgument => {
    const properties = checkedProperties(argument)
    const id = properties.text('fsdev', '')
    const found = fsdev.find((one) => one.id === id)
    if (found === undefined)
      throw usage(`--device virtio-9p-pci: there is no fsdev '${id}'; write --fsdev local,id=${id || 'NAME'},path=DIR`)
    used.add(id)
    const tag = checkTag('--device virtio-9p-pci', properties.text('mount_tag', ''))
    return { kind: 'share', tag, path: found.path, readOnly: found.readOnly, ...virtioPlaceOf(argument, properties) }
  })
  const lost = fsdev.find(({ id }) => !used.has(id))
  if (lost !== undefined)
    throw usage(`--fsdev ${lost.id}: no device uses it; write --device virtio-9p-pci,fsdev=${lost.id},mount_tag=TAG`)
  const all = [...share, ...named]
  const twice = all.find(({ tag }, i) => all.findIndex((one) => one.tag === tag) < i)
  if (twice !== undefined) throw usage(`two directories have the tag '${twice.tag}'; give each its own`)
  return all
}
