import { AccessKind, AccessLog, STATUS_RESTART, STATUS_DONE } from '@retrap/replay'

// MOVSB from RAM to a device that takes its time. RAM changes while it does.
const log = new AccessLog()
const ram = Uint8Array.of(0x41)

function pass(): 'retry' | 'done' {
  const read = log.access(AccessKind.READ, 0x1000, 0, 1, 0)
  if (log.state(read) === STATUS_RESTART) {
    log.setData(read, ram[0] as number, 0)
    log.complete(read)
  }
  const write = log.access(AccessKind.MMIO_WRITE, 0xfed0_0000, 0, 1, 0)
  if (log.state(write) === STATUS_DONE) return 'done'
  log.setData(write, log.dataLo(read), 0)
  console.log('the device is asked to take', log.dataLo(write).toString(16))
  log.wait(write)
  return 'retry'
}

log.begin()
console.log(pass())
ram[0] = 0x42 // another vCPU
log.complete(log.pending) // the device's answer
log.restart()
console.log(pass(), log.dataLo(0).toString(16))
log.end()

// Output:
// the device is asked to take 41
// retry
// done 41
