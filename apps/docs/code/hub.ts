import { Hub } from '@retrap/network'

// Two cards on one hub. A machine's network card is connected in the same way: a model calls `send` and gets `receive`.
const hub = new Hub()
const card = (name: string) => {
  const port = hub.port()
  port.connect({
    receive(frame) {
      console.log(`${name} gets ${new TextDecoder().decode(frame.subarray(14))}`)
      return true
    },
    drained() {},
    linkChanged() {},
  })
  return port
}
const [alice, bob] = [card('alice'), card('bob')]

/** An Ethernet frame to everybody, of a protocol that is for experiments. */
const frame = (text: string): Uint8Array =>
  Uint8Array.from([...new Array<number>(6).fill(255), 2, 0, 0, 0, 0, 1, 0x88, 0xb5, ...new TextEncoder().encode(text)])

alice.send(frame('hello'))
bob.send(frame('good evening'))
await new Promise((resolve) => setTimeout(resolve, 10))

// Output:
// bob gets hello
// alice gets good evening
