import { UserNetwork } from '@retrap/network'
import { nodeSockets } from '@retrap/network/node'

// A network card's model sends frames, and takes those of the network.
const network = await UserNetwork.open({ sockets: nodeSockets(), hostForwards: [{ hostPort: 0, guestPort: 22 }] })
network.connect({
  receive(frame) {
    const mac = [...frame.subarray(22, 28)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
    console.log(`${frame.length} bytes: 10.0.2.2 is at ${mac}`)
    return true
  },
  drained() {},
  linkChanged() {},
})

// An ARP request: 10.0.2.15 asks who has 10.0.2.2.
const card = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56]
const ask = new Uint8Array(42).fill(255, 0, 6)
ask.set([...card, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, ...card, 10, 0, 2, 15], 6)
ask.set([10, 0, 2, 2], 38)
network.send(ask)
setImmediate(() => network.close())

// Output:
// 42 bytes: 10.0.2.2 is at 52:55:0a:00:02:02
