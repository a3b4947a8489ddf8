// A PCI card that adds: the driver names a buffer, rings the doorbell and runs on; the sum comes by DMA, and a message tells of it.
import { type DeviceContext, type DeviceModel, LateAnswers, type LateRequest, savedState } from '@retrap/device'

/** Registers behind BAR 0, of 32 bits each. */
const [BUFFER, LENGTH, DOORBELL, DONE] = [0, 4, 8, 12]

interface Job {
  readonly bytes: Uint8Array
  /** The sum goes there: behind the buffer. */
  readonly result: number
}
interface Saved {
  readonly version: 1
  readonly registers: readonly number[]
  readonly jobs: readonly LateRequest<Job, number>[]
}

/** @param add - the part that takes its time: a GPU, a server, a disk */
export function makeCard(add: (bytes: Uint8Array) => Promise<number> = addSlowly): DeviceModel {
  const registers = [0, 0, 0, 0]
  let context: DeviceContext
  let jobs: LateAnswers<Job, number>

  function ring(): void {
    const bytes = new Uint8Array(registers[LENGTH / 4]! & 0xffff)
    const result = registers[BUFFER / 4]! + bytes.length
    // The bytes are read now, within the guest's instruction; `answer` is called at an instant that is fixed now.
    if (context.dma.read(registers[BUFFER / 4]!, bytes)) jobs.start({ bytes, result })
  }

  return {
    name: 'adder',
    deterministic: true, // what it does follows from the guest alone: a replay runs it again
    attach(given) {
      context = given
      const fn = context.pci.add({
        device: 9, // behindPort and pc.plug put it elsewhere
        vendorId: 0x1234,
        deviceId: 0xadd0,
        classCode: 0x12_0000, // a processing accelerator
        msi: { vectors: 1 },
        bars: [
          {
            index: 0,
            kind: 'memory',
            bytes: 4096,
            minimumAccess: 4,
            handler: {
              read: (offset) => registers[offset / 4] ?? 0,
              write(offset, _size, value) {
                if (offset === BUFFER || offset === LENGTH) registers[offset / 4] = value
                if (offset === DOORBELL) ring()
              },
            },
          },
        ],
        onWrite: () => jobs.proceed(), // the guest may have let it reach memory again
      })
      jobs = new LateAnswers<Job, number>(context, {
        ask: ({ bytes }) => add(bytes),
        answer({ result }, sum) {
          context.dma.write(result, new Uint8Array(Uint32Array.of(sum).buffer))
          registers[DONE / 4]!++
          fn.messages?.signal(0)
        },
        mayAnswer: () => fn.mayMaster,
      })
    },
    reset() {
      registers.fill(0)
      jobs.cancel()
    },
    quiesce: () => jobs.pause(),
    resume: () => jobs.resume(),
    save: (): Saved => ({ version: 1, registers: [...registers], jobs: jobs.save() }),
    restore(state) {
      const saved = savedState<Saved>('adder', state, 1)
      registers.splice(0, 4, ...saved.registers)
      jobs.restore(saved.jobs)
    },
  }
}

async function addSlowly(bytes: Uint8Array): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 5)) // the host's time, which the guest does not notice
  return bytes.reduce((sum, byte) => sum + byte, 0)
}

export const adder = makeCard()
// Output:
