// A virtio device of your own: an entropy source whose bytes come from somewhere slow. Linux's virtio_rng drives it.
import { VirtioPci, type VirtioDevice } from '@retrap/virtio'

const device: VirtioDevice = {
  name: 'slow-entropy',
  type: 4, // an entropy source (VIRTIO 1.2, §5.4)
  queues: [
    {
      size: 64,
      // One request of the driver: it has given room for bytes in `writable`.
      async handle({ writable, signal }) {
        const bytes = await fromFarAway(Math.min(writable.length, 1024), signal)
        // Called at the virtual instant of the answer; what it returns is how many bytes were written.
        return () => (writable.write(0, bytes) ? bytes.length : 0)
      },
    },
  ],
}

async function fromFarAway(count: number, signal: { readonly aborted: boolean }): Promise<Uint8Array> {
  await new Promise((resolve) => setTimeout(resolve, 5)) // the guest runs on meanwhile
  return signal.aborted ? new Uint8Array(0) : crypto.getRandomValues(new Uint8Array(count))
}

// Give it to a machine: createPc({ …, devices: [model] }), or virtio: [{ kind: 'device', device }] for a free place.
const model = new VirtioPci(device, { device: 5 })
console.log(model.name)

// Output:
// slow-entropy
