// An emulator behind its request page, as one in another process or language would be: no models, only the ABI.
import { createIoRequest, STATUS_RETRY, IoDispatch, IOREQ_READ, XEN_DMOP_IO_RANGE_MEMORY } from '@retrap/ioreq'

const answered = Promise.withResolvers<number>()
const dispatch = new IoDispatch({ vcpus: 1, onComplete: (vcpu) => answered.resolve(vcpu) })

const request = createIoRequest()
const server = dispatch.createServer({
  name: 'thermometer',
  transport: {
    // The request lies in the vCPU's slot; it may be taken and answered whenever the emulator likes.
    notify: (vcpu) =>
      void setTimeout(() => {
        const slot = server.slot(vcpu)
        if (!slot.accept(request)) return
        slot.answer(21 + (request.addressLo & 0xfff), 0)
        server.answered(vcpu)
      }, 5),
  },
})
server.mapRange(XEN_DMOP_IO_RANGE_MEMORY, 0xfed9_0000, 0xfed9_0fff)
server.setState(true)

// The guest's MOV, from vCPU 0: the request waits, and nothing else does.
const mov = { ...createIoRequest(), direction: IOREQ_READ, addressLo: 0xfed9_0000, size: 4 }
console.log('must wait:', dispatch.submit(0, mov) === STATUS_RETRY)
dispatch.requests.take(await answered.promise)
console.log('the guest reads', dispatch.lo)
// Output:
// must wait: true
// the guest reads 21
