// A USB device of your own: a thermometer whose sensor takes its time. The guest reads it from a bulk endpoint.
import { type UsbDevice, type UsbPort, Xhci } from '@retrap/usb'

let port: UsbPort
let degrees: number | null = null

const thermometer: UsbDevice = {
  name: 'thermometer',
  description: {
    vendorId: 0x1209, // pid.codes, for tests
    productId: 0x0001,
    product: 'Thermometer',
    interfaces: [{ interfaceClass: 0xff, endpoints: [{ address: 0x81, type: 'bulk', maximumPacketBytes: 64 }] }],
  },
  attach: (given) => (port = given),
  // Asked whenever the guest reads. With 'nak' it waits until `wake`; the guest runs on meanwhile.
  in() {
    if (degrees === null) {
      setTimeout(() => {
        degrees = 21
        port.wake(0x81)
      }, 5)
      return 'nak'
    }
    const answer = Uint8Array.of(degrees)
    degrees = null
    return answer
  },
}

// Give it to a machine: createPc({ …, usb: { devices: [{ kind: 'device', device: thermometer }] } }), or build the controller:
const controller = new Xhci({ device: 5, devices: [thermometer] })
console.log(controller.name, controller.sockets)

// Output:
// xhci 4
