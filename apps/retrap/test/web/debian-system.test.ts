/** The system that the start page offers, made by a machine of the test's. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { GuestPageSource } from '@retrap/hvm'
import { bytesSource, readSnapshot, readSnapshotDescription } from '@retrap/snapshot'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { CreateMachine, Machine, MachineSnapshot } from '@retrap/linux-guest/machine/machine-contract'
import { listSystem, makeDebianSystem } from '../../src/commands/web/debian-system.ts'
import { checkLicences, writeSite } from '../../src/commands/web/static-site.ts'
import { PACKAGES_LIST, packagesList } from '../../src/commands/web/packages.ts'
import { debianPackage, licenceTexts } from '../support/debian-packages.ts'

const folder = temporaryFolder('debian-system')
const linux = {
  architecture: 'amd64' as const,
  kernelPath: join(folder, 'vmlinuz'),
  configPath: join(folder, 'config'),
  busyboxPath: join(folder, 'busybox'),
  version: '6.1',
  modulePaths: [],
}
writeFileSync(linux.kernelPath, 'kernel')
writeFileSync(linux.configPath, 'CONFIG_EXT4_FS=y')
writeFileSync(linux.busyboxPath, 'busybox')

const STATE = { version: 1, domain: { devices: { local: { devices: { mc146818: { wallSeconds: 10_000 } } } } } }
/** What the shell of a snapshot was given. */
const typed: string[] = []
/** The instants that machines went on from. */
const ages: number[] = []
beforeEach(() => {
  typed.length = ages.length = 0
  vi.useFakeTimers({ toFake: ['setTimeout'] })
})
afterEach(() => void vi.useRealTimers())

/** A machine whose guest prints, and ends where nobody stops it. */
function printing(text: string): CreateMachine {
  return async ({ snapshot: from }) => {
    if (from !== undefined) {
      // Of those that come one by one a guest that goes on touches the second.
      const pages = from.pages as GuestPageSource
      expect(pages.blockFrames).toBe(1)
      pages.contents(1)
      ages.push((from.state as unknown as typeof STATE).domain.devices.local.devices.mc146818.wallSeconds)
    }
    let print = (_bytes: Uint8Array): void => {}
    const snapshot = { state: STATE, pages: { gfns: Uint32Array.of(3, 1030), bytes: new Uint8Array(8192).fill(7) } }
    return {
      serialPorts: [
        {
          onTransmit: (listener: typeof print) => (print = listener),
          receive: (bytes: Uint8Array) => typed.push(String(bytes)),
        },
      ],
      run: async ({ signal }: { signal: AbortSignal }) => {
        // What is typed comes when the guest has caught up.
        if (from !== undefined) await vi.advanceTimersByTimeAsync(4000)
        print(Buffer.from(text))
        return { reason: signal.aborted ? 'stopped' : 'timeout' }
      },
      save: async () => snapshot as unknown as MachineSnapshot,
    } as unknown as Machine
  }
}

test('is saved at its prompt, with what it had printed, and listed for the page', async () => {
  const { system, files } = await makeDebianSystem(linux, printing('boots\r\n/ # \u001b[6n'))
  const named = ['snapshot', 'kernel', 'initrd'].map((name) =>
    files.get(String(system.options[name]).replace('#gzip', '')),
  )
  const [drive] = system.options['drives'] as readonly { source: string }[]
  named.push(files.get(drive!.source))
  expect(named).not.toContain(undefined)
  // The page says how large it is, and that it is no whole Debian.
  expect(system).toMatchObject({ bytes: named[0]!.length, description: expect.stringContaining('6.1 with busybox') })
  const { state } = await readSnapshot(bytesSource(named[0]!))
  expect(Buffer.from((state as { console: Uint8Array }).console).toString()).toBe('boots\r\n/ # \u001b[6n')
})

test('has what its first command touches with its state', async () => {
  const { files } = await makeDebianSystem(linux, printing('/ # '))
  const { state } = await readSnapshot(bytesSource(files.get('systems/debian-amd64/machine.snapshot')!))
  expect((state as { first: unknown }).first).toEqual({
    gfns: Uint32Array.of(1030),
    bytes: new Uint8Array(4096).fill(7),
  })
  // A guest does what was due since it was saved, too.
  expect([typed, ages]).toEqual([['ls\n'], [10_000 - 3600]])
})

test('an Arm board has its own console, files and command line', async () => {
  const { system, files } = await makeDebianSystem({ ...linux, architecture: 'arm64' }, printing('/ # '))
  expect(system.options).toMatchObject({ board: 'virt', commandLine: 'console=ttyAMA0 quiet' })
  const file = files.get('systems/debian-arm64/machine.snapshot')!
  const description = { arguments: expect.arrayContaining(['--arch', 'arm64']), page: { board: 'virt' } }
  expect(await readSnapshotDescription(bytesSource(file))).toMatchObject(description)
})

test('a guest that comes to no prompt is said', async () => {
  await expect(makeDebianSystem(linux, printing('Kernel panic'))).rejects.toThrow('the machine has ended: timeout')
})

test('a site with it has the licences and sources of the kernel and of busybox', async () => {
  const made = await makeDebianSystem(linux, printing('/ # '))
  const given = {
    kernel: debianPackage(join(folder, 'kernel'), 'linux-image', 'GPL-2', {}),
    busybox: debianPackage(join(folder, 'static'), 'busybox-static', 'GPL-2', {}),
    licenceTexts: licenceTexts(join(folder, 'base-files')),
  }
  const listed = await listSystem(made, { ...linux, ...given })
  const paths = (name: string): unknown =>
    listed.packages.find((one) => one.name === name)!.files.map(({ path }) => path.replace(/^.*\//, ''))
  expect(paths('linux-image')).toEqual(['machine.snapshot', 'vmlinuz.gz', 'initrd.gz', 'disk.img'])
  expect(paths('busybox-static')).toEqual(['machine.snapshot', 'initrd.gz'])
  const site = join(folder, 'site')
  const lists = [[PACKAGES_LIST, packagesList(listed.packages)]] as const
  await writeSite(join(folder, 'kernel'), new Map([...listed.files, ...made.files, ...lists]), site)
  await checkLicences(site)
  // Each file of the system is of one of them.
  const busyboxAlone = [[PACKAGES_LIST, packagesList(listed.packages.slice(1))]] as const
  await expect(
    writeSite(
      join(folder, 'kernel'),
      new Map([...listed.files, ...made.files, ...busyboxAlone]),
      join(folder, 'other'),
    ),
  ).rejects.toThrow('systems/debian-amd64/disk.img lacks its package')
})
