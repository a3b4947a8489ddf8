import { Keyboard, Mouse, Screen, VncServer } from '@retrap/display'
import { listenVnc, zlibCompressor } from '@retrap/display/node'

// The three that a machine is given: createPc({ screen, keyboard, mouse, … }).
const [screen, keyboard, mouse] = [new Screen(), new Keyboard(), new Mouse()]
const server = new VncServer({ screen, keyboard, mouse, createCompressor: zlibCompressor })
const listener = await listenVnc(server, { port: 0, webSocketPort: 0 })
console.log(listener.port > 0 && listener.webSocketPort !== listener.port)
await listener.close()

// Output:
// true
