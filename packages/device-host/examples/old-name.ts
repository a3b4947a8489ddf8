// The old name and the new one are the same class.
import { DeviceHost } from '@retrap/device-host'
import { DeviceHost as Moved } from '@retrap/ioreq/host'

console.log('the same:', DeviceHost === Moved)
// Output:
// the same: true
