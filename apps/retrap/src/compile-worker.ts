import '@retrap/linux-guest/compile-worker'
