import '@retrap/linux-guest/vcpu-worker'
