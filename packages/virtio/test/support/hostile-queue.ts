import { TestDisk, turn } from '@retrap/device/test-machine'
import { ScsiDisk } from '@retrap/scsi'
import { VirtioBlock, type VirtioDevice, VirtioPci, VirtioRng } from '../../src/index.ts'
import { MemoryShare, Virtio9p } from '../../src/p9.ts'
import { VirtioScsi } from '../../src/scsi.ts'
import { VirtioVsock, VsockPorts } from '../../src/vsock.ts'
import { PciDriver } from './pci-driver.ts'
import type { Choose } from './random-queue.ts'
import { SplitDriver } from './ring-drivers.ts'
import { VirtioMachine } from './virtio-machine.ts'

const RAM = 0x1_0000
const PLACE = { size: 16, descriptors: 0x1000, driver: 0x2000, device: 0x3000, eventIndex: false }

function anyDevice(choose: Choose, medium: TestDisk): VirtioDevice {
  switch (choose(5)) {
    case 0:
      return new VirtioBlock({ medium, queues: 2, queueSize: 16 })
    case 1:
      return new VirtioScsi({ targets: new Map([[0, new ScsiDisk({ medium })]]), queueSize: 16 })
    case 2: {
      const share = new MemoryShare({ mostBytes: 1 << 16 })
      share.write('file', 'content')
      return new Virtio9p({ share, tag: 'host' })
    }
    case 3: {
      const ports = new VsockPorts()
      ports.listen(1, (stream) => {
        const data = (bytes: Uint8Array): void => void stream.write(bytes)
        return { data, ended: () => stream.end(), drained() {}, closed() {} }
      })
      return new VirtioVsock({ cid: 3, host: ports })
    }
    default:
      return new VirtioRng({ random: () => 7 })
  }
}

/** A guest that writes anything anywhere. @returns a line that says what is wrong, or undefined */
export async function hostileCase(choose: Choose, steps: number): Promise<string | undefined> {
  const disk = new TestDisk(64 * 512)
  const device = anyDevice(choose, disk)
  const packed = choose(2) === 1
  const machine = new VirtioMachine(new VirtioPci(device, { device: 3, packed }), RAM)
  machine.mappings = choose(2) === 1
  const driver = new PciDriver(machine)
  const setUp = (): void => {
    driver.negotiate([32, 28, 29, ...(packed ? [34] : [])])
    // All in the same place; a SCSI controller's commands are in the third.
    const size = 2 ** choose(5)
    for (let index = 0; index < 3; index++) driver.setQueue(index, { ...PLACE, size })
    driver.start()
  }
  setUp()
  const view = machine.view
  try {
    for (let i = 0; i < steps; i++) {
      switch (choose(9)) {
        case 0:
          machine.write(4, 4 * choose(16), [1, 2, 4][choose(3)] as 1 | 2 | 4, choose(2 ** 16))
          break
        case 1:
          // A device without a legacy interface has no such registers.
          if (!(device instanceof VirtioVsock))
            machine.write(0, choose(64), [1, 2, 4][choose(3)] as 1 | 2 | 4, choose(64))
          break
        case 2:
          setUp()
          break
        case 3:
          for (let at = choose(16); at < 16; at++) {
            const entry = PLACE.descriptors + 16 * at
            view.setUint32(entry, choose(RAM + 0x100), true)
            view.setUint32(entry + 4, choose(20) === 0 ? choose(2 ** 31) : 0, true)
            view.setUint32(entry + 8, choose(4) === 0 ? choose(2 ** 31) : 16 * choose(40), true)
            view.setUint16(entry + 12, choose(8) | (choose(2) << 7) | (choose(2) << 15), true)
            view.setUint16(entry + 14, choose(8) | (choose(2) << 7) | (choose(2) << 15), true)
          }
          break
        case 4:
          view.setUint16(PLACE.driver + 2, choose(40), true)
          break
        case 5:
          view.setUint32(PLACE.driver + 2 * choose(20), choose(2 ** 31), true)
          break
        case 6:
          disk.hold = choose(2) === 0
          disk.release()
          break
        case 7:
          machine.fn!.configWrite(4, 2, choose(8))
          break
        default:
          machine.advance(100_000)
      }
      driver.notify(choose(3))
      await turn()
    }
    disk.hold = false
    disk.release()
    machine.advance(1_000_000)
    await turn()
    machine.fn!.configWrite(4, 2, 7)
    driver.status = 0
    machine.advance(1000)
    for (let i = 0; i < 20 && driver.status !== 0; i++) {
      disk.release()
      await turn()
    }
    if (driver.status !== 0) return 'the status is not 0 after a reset'
    if (device instanceof VirtioBlock) return await reads(machine, driver)
  } catch (error) {
    return error instanceof Error ? error.stack : String(error)
  }
  return undefined
}

/** A request for the first sector. @returns what is wrong with its answer */
async function reads(machine: VirtioMachine, driver: PciDriver): Promise<string | undefined> {
  machine.ram.fill(0)
  driver.negotiate([32])
  driver.setQueue(0, PLACE)
  driver.start()
  const ring = new SplitDriver(machine.view, PLACE)
  ring.add(
    [
      { gpa: 0x8000, length: 16, write: false },
      { gpa: 0x9000, length: 513, write: true },
    ],
    1,
  )
  ring.publish()
  driver.notify(0)
  for (let i = 0; i < 10; i++) {
    await turn()
    machine.advance(100_000)
  }
  const [done] = ring.reap()
  return done?.written === 513 ? undefined : `a read after the reset: ${JSON.stringify(done ?? null)}`
}
