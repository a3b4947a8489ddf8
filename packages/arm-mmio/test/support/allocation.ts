// Run as `node --expose-gc --max-semi-space-size=128 allocation.ts`: prints the bytes of heap that one abort with a valid
// syndrome takes. The nursery is so large that nothing is collected meanwhile.
import { abortLoop } from './plain-device.ts'

const COUNT = 1_000_000

for (const write of [false, true]) {
  const once = abortLoop(write, true)
  for (let i = 0; i < 200_000; i++) once()
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < COUNT; i++) once()
  console.log((process.memoryUsage().heapUsed - before) / COUNT)
}
