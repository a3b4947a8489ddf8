import { TestDisk } from '@retrap/device/test-machine'
import type { BlockBackend, DeviceModel } from '@retrap/device'
import { expect, test } from 'vitest'
import { Ahci } from '../src/ahci/index.ts'
import { FloppyController, I8237 } from '../src/floppy/index.ts'
import { PiixIde } from '../src/ide/index.ts'

/** A disk that counts who listens to it. */
class WatchedDisk extends TestDisk {
  listeners = 0

  override onChange(listener: () => void): () => void {
    const end = super.onChange(listener)
    this.listeners++
    return () => {
      this.listeners--
      end()
    }
  }
}

test.each<{ what: string; make: (medium: BlockBackend) => DeviceModel }>([
  { what: 'a CD drive of IDE', make: (medium) => new PiixIde({ drives: [null, { kind: 'cdrom', medium }] }) },
  { what: 'a disk of IDE', make: (medium) => new PiixIde({ drives: [{ kind: 'disk', medium }] }) },
  { what: 'a CD drive of SATA', make: (medium) => new Ahci({ drives: [null, { kind: 'cdrom', medium }] }) },
  {
    what: 'a floppy drive',
    make: (medium) => new FloppyController({ drives: [medium], dma: new I8237({ cascades: true }).channel(2) }),
  },
])('$what that is removed does not hear of its medium any more', ({ what, make }) => {
  const medium = new WatchedDisk(1440 << 10, { blockBytes: 512 })
  const model = make(medium)
  expect(medium.listeners).toBe(what.startsWith('a disk') ? 0 : 1)
  model.removed!()
  expect(medium.listeners).toBe(0)
})
