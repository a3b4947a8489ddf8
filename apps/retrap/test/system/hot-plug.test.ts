import { readFileSync } from 'node:fs'
import type { BlockBackend } from '@retrap/device'
import { createPc, type Pc } from '@retrap/machine'
import { skipNote } from '@retrap/tooling/skip'
import { expect, test } from 'vitest'
import { BEHIND_PORTS, linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { TEST_JIT } from '../support/processes.ts'

const DEADLINE_MS = 240_000

/** The first process: waits for disks to come and to go, and reads them. */
const AUTO = `${FIRST_PROCESS}dmesg -n 7
/drivers
come() {
  echo "WAIT $1"
  while ! [ -b /dev/$1 ]; do sleep 0.1; done
  echo "READ $(head -c 8 /dev/$1)"
}
gone() {
  while [ -b /dev/$1 ]; do sleep 0.1; done
  echo "GONE $1"
}
come vda
come nvme0n1
dd if=/dev/nvme0n1 bs=4k skip=128 count=1 2>/dev/null | head -c 8 && echo " LATE" &
gone nvme0n1
wait
come nvme0n1
echo "PULL"
gone nvme0n1
come vdb
echo "ASK vda"
gone vda
ls /sys/bus/pci/devices
cat /sys/bus/pci/slots/*/power
poweroff -f
`

const linux = await linuxWith(['nvme', 'virtio_pci', 'virtio_blk'], AUTO, {
  ...BEHIND_PORTS,
  members: [...BEHIND_PORTS.members, './lib/modules/*/kernel/drivers/block/*'],
})

/** A disk whose read at 512 KiB a test can hold back. */
class Disk implements BlockBackend {
  readonly properties = {
    bytes: 1 << 20,
    blockBytes: 512,
    physicalBlockBytes: 512,
    maximumBytes: 1 << 16,
    readOnly: false,
    discards: false,
  }
  held: { readonly promise: Promise<void>; resolve(): void } | null = null
  readonly #text: string
  /** Called when a read is held back. */
  onHeld: () => void = () => {}

  constructor(text: string) {
    this.#text = text
  }

  onChange(): () => void {
    return () => {}
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    into.fill(0)
    into.set(new TextEncoder().encode(this.#text))
    if (offset !== 512 << 10 || this.held === null) return
    this.onHeld()
    await this.held.promise
  }

  async write(): Promise<void> {}

  async flush(): Promise<void> {}

  async discard(): Promise<void> {}

  async writeZeroes(): Promise<void> {}
}

test.skipIf(linux === undefined)(
  `Linux finds disks that are plugged in, gives them up, and bears with one that is pulled${skipNote(linux !== undefined, 'there is no apt')}`,
  { timeout: DEADLINE_MS },
  async () => {
    const plug = (pc: Pc, medium: BlockBackend): Promise<void> =>
      pc.plug({ drive: { medium, interface: 'nvme', nvme: { port: 'rp1' } } })
    const first = new Disk('FIRST...')
    first.held = Promise.withResolvers()
    const pc = await createPc({
      memoryBytes: 256 << 20,
      machine: 'q35',
      jit: TEST_JIT,
      kernel: new Uint8Array(readFileSync(linux!.kernelPath)),
      initrd: linux!.initrd,
      commandLine: `${TO_DEVICES} rdinit=/auto`,
      rootPorts: [{ id: 'rp1' }, { id: 'rp2' }],
      drives: [{ medium: new Disk('COLD....'), interface: 'virtio', virtio: { port: 'rp2' } }],
    })
    const another = { medium: new Disk('THIRD...'), interface: 'virtio', virtio: { port: 'rp1' } } as const
    let text = ''
    const done: string[] = []
    let unplugged = Promise.resolve()
    const act = async (name: string, action: () => Promise<void>): Promise<void> => {
      try {
        await action()
        done.push(name)
      } catch (error) {
        done.push(String(error))
        pc.domain.stop({ reason: 'stopped' })
      }
    }
    first.onHeld = () => {
      void act('unplugged', () => (unplugged = pc.unplug('rp1')))
      // After the guest has begun to give the drive up.
      setTimeout(() => {
        done.push('answered')
        first.held!.resolve()
      }, 7000)
    }
    const steps: readonly (readonly [to: string, name: string, action: () => Promise<void>])[] = [
      ['WAIT nvme0n1', 'plugged', () => plug(pc, first)],
      // The driver gives it up before the port takes its power.
      ['GONE nvme0n1', 'plugged again', () => unplugged.then(() => plug(pc, new Disk('SECOND..')))],
      ['PULL', 'pulled', () => pc.unplug('rp1', { force: true })],
      ['WAIT vdb', 'plugged another', () => pc.plug({ drive: another })],
      ['ASK vda', 'unplugged cold', () => pc.unplug('rp2')],
    ]
    let step = 0
    pc.serial.onTransmit((bytes) => {
      text += String.fromCharCode(...bytes)
      const next = steps[step]
      if (next === undefined || !text.includes(next[0])) return
      step++
      void act(next[1], next[2])
    })
    const exit = await pc.run({ timeoutMs: DEADLINE_MS - 20_000 })
    pc.close()
    expect(exit.reason, `${done.join('; ')}\n${text}`).toBe('power-off')
    expect(done.join()).toBe('plugged,answered,unplugged,plugged again,pulled,plugged another,unplugged cold')
    for (const name of ['COLD....', 'FIRST...', 'SECOND..', 'THIRD...']) expect(text).toContain(`READ ${name}`)
    // Power of slots 3 and 4.
    expect(text).toContain('\r\n1\r\n0\r\n')
  },
)
