import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'

const DISK_BYTES = 16 << 20
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ PS1='\\w # '
mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do insmod "$module"; done
cd /
setsid cttyhack sh
`

/** An entry of a cpio archive. Source: cpio(5), "New ASCII Format". */
function entry(
  path: string,
  mode: number,
  data: Uint8Array = new Uint8Array(),
  device: readonly number[] = [0, 0],
): Buffer {
  const fields = [0, mode, 0, 0, 1, 0, data.length, 0, 0, ...device, path.length + 1, 0]
  const head = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${path}\0`)
  const padded = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, new Uint8Array(-bytes.length & 3)])
  return Buffer.concat([padded(head), padded(data)])
}

/** Modules behind those that they need. */
function modulesFor(name: string, files: ReadonlyMap<string, string>, found: Map<string, Uint8Array>): void {
  const path = files.get(name)
  if (path === undefined || found.has(name)) return
  const bytes = readFileSync(path)
  const needs = /\0depends=([^\0]*)\0/.exec(bytes.toString('latin1'))?.[1] ?? ''
  for (const need of needs.split(',')) modulesFor(need.replaceAll('-', '_'), files, found)
  found.set(name, bytes)
}

/**
 * Debian's kernel with busybox and a disk, beside the site: it boots to its prompt in the page.
 *
 * @returns its files; undefined where Debian's packages cannot be had
 */
export async function debianGuest(): Promise<ReadonlyMap<string, Uint8Array> | undefined> {
  const found = await debianMembers([
    { package: 'linux-image-cloud-amd64', members: ['./boot/*', './lib/modules/*'], dependency: 'linux-image-' },
    { package: 'busybox-static', members: ['./bin/busybox'] },
  ])
  if (found === undefined) return undefined
  const [kernel, busybox] = found as [string, string]
  const paths = globSync('lib/modules/**/*.ko', { cwd: kernel })
  const files = new Map(paths.map((path) => [basename(path, '.ko').replaceAll('-', '_'), join(kernel, path)]))
  const modules = new Map<string, Uint8Array>()
  for (const name of ['virtio_pci', 'virtio_blk']) modulesFor(name, files, modules)
  const [directory, program, plain] = [0o040755, 0o100755, 0o100644]
  const initrd = Buffer.concat([
    ...['bin', 'dev', 'modules'].map((path) => entry(path, directory)),
    entry('dev/console', 0o020600, undefined, [5, 1]),
    entry('bin/busybox', program, readFileSync(join(busybox, 'bin/busybox'))),
    entry('init', program, Buffer.from(INIT)),
    ...[...modules.values()].map((bytes, i) => entry(`modules/${String(i).padStart(3, '0')}.ko`, plain, bytes)),
    entry('TRAILER!!!', 0),
  ])
  const system = {
    title: 'Debian',
    description: "Debian's kernel with busybox, and a disk.",
    options: {
      ...{ kernel: 'systems/vmlinuz', initrd: 'systems/initrd', commandLine: 'console=ttyS0 quiet' },
      drives: [{ source: 'systems/disk.img', interface: 'virtio' }],
    },
  }
  return new Map([
    ['systems/systems.json', Buffer.from(JSON.stringify([system]))],
    ['systems/vmlinuz', readFileSync(join(kernel, globSync('boot/vmlinuz-*', { cwd: kernel })[0]!))],
    ['systems/initrd', initrd],
    ['systems/disk.img', new Uint8Array(DISK_BYTES)],
  ])
}
