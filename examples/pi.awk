# Estimates pi by random points in a square: awk -v name=N -v seed=S -v points=P -f pi.awk
BEGIN {
    srand(seed)
    for (i = 0; i < points; i++) {
        x = rand()
        y = rand()
        if (x * x + y * y <= 1) inside++
    }
    estimate = 4 * inside / points
    off = estimate - 3.14159265
    printf "%s,%d,%.5f,%.5f\n", name, points, estimate, off < 0 ? -off : off
}
