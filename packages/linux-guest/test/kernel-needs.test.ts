/** What is said of a kernel of the user's that lacks a driver. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeEach, expect, test } from 'vitest'
import { lacksOfKernel, silentKernel } from '@retrap/linux-guest/jobs/kernel-needs'

let folder = ''
beforeEach(() => void (folder = temporaryFolder('needs')))

const ALL = [
  ...'BLK_DEV_INITRD BINFMT_ELF BINFMT_SCRIPT PROC_FS SYSFS DEVTMPFS TMPFS CGROUPS UNIX98_PTYS PCI'.split(' '),
  ...['VIRTIO_PCI', 'VIRTIO_CONSOLE', 'NET_9P', 'NET_9P_VIRTIO', '9P_FS', 'OVERLAY_FS'],
]
const config = (without = ''): string =>
  `# Linux\n${ALL.map((name) => (name === without ? `CONFIG_${name}=m` : `CONFIG_${name}=y`)).join('\n')}\n`
const embedded = (text: string): Buffer =>
  Buffer.concat([Buffer.alloc(99), Buffer.from('IKCFG_ST'), gzipSync(text), Buffer.from('IKCFG_ED')])

/** An image of Linux/x86 whose kernel is compressed. */
function bzImage(payload: Buffer, size = 0): Buffer {
  const head = Buffer.alloc(1024 + 16)
    .fill(1, 0x1f1, 0x1f2)
    .fill('HdrS', 0x202, 0x206)
    .fill(16, 0x248, 0x249)
  head.writeUInt32LE(payload.length + 4, 0x24c)
  return Buffer.concat([head, payload, Buffer.from(Uint32Array.of(size).buffer)])
}

/** An image as Debian has them: CALL and JMP near each other, of which some are parts of others, have absolute targets. */
function bzImageByXz(text: string): Buffer {
  const near = [0xe8, 0xe9, 0, 0xff, 1, 0x90]
  const code = Buffer.from(Array.from({ length: 1 << 16 }, (_, i) => near[((i * 2_654_435_761) >>> 24) % near.length]!))
  const kernel = Buffer.concat([code, embedded(text)])
  const words = ['--format=xz', '--check=crc32', '--x86', '--lzma2=dict=1MiB', '--stdout']
  return bzImage(execFileSync('xz', words, { input: kernel }), kernel.length)
}

const write = (name: string, content: Uint8Array | string): string => {
  mkdirSync(join(folder, name, '..'), { recursive: true })
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}

async function names(put: (text: string) => string): Promise<void> {
  expect(await lacksOfKernel(put(config()), false)).toBe('')
  const lacks = /: its configuration lacks CONFIG_9P_FS=y; a module is not enough/
  expect(await lacksOfKernel(put(config('9P_FS')), false)).toMatch(lacks)
  expect(await lacksOfKernel(put(config('PCI')), true)).toMatch(/lacks CONFIG_PCI=y, CONFIG_VIRTIO_NET=y;/)
}

const hasXz = hasProgram('xz')
test.skipIf(!hasXz)(`an option that is lacked is named, by xz${skipNote(hasXz, 'there is no xz')}`, () =>
  names((text) => write('bzImage', bzImageByXz(text))),
)

test.each<[string, (text: string) => string]>([
  ['in the image', (text) => write('Image', embedded(text))],
  ['in an image by gzip', (text) => write('bzImage', bzImage(gzipSync(embedded(text))))],
  ['in an image by zstd', (text) => write('bzImage', bzImage(zstdCompressSync(embedded(text))))],
  ['in an arm64 image by gzip', (text) => write('Image.gz', gzipSync(embedded(text)))],
  ['beside an installed image', (text) => (write('config-6.1', text), write('vmlinuz-6.1', 'x'))],
  ['in the tree', (text) => (write('.config', text), write('arch/x86/boot/bzImage', 'x'))],
])('an option that the configuration lacks is named: %s', (_where, put) => names(put))

test('without a configuration the list of what is built in tells, and else what the guest has printed', async () => {
  const image = write('bzImage', 'x')
  expect(await lacksOfKernel(image, false)).toBeUndefined()
  expect(silentKernel(image, 'no init')).toMatch(/its last line is: no init; .*CONFIG_OVERLAY_FS=y/)
  const drivers = ['virtio/virtio_pci', 'virtio-console', '9p/9pnet', '9p/9pnet_virtio', '9p/9p']
  write('modules.builtin', drivers.map((name) => `kernel/${name}.ko\n`).join(''))
  expect(await lacksOfKernel(image, false)).toMatch(/lacks CONFIG_OVERLAY_FS=y;/)
})
