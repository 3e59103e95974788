# Draws what report.py wrote:
#
#   gnuplot -c bench/plots.gp OUT MACHINE
#
# OUT/ns_per_read.{svg,png} and OUT/offset.{svg,png}.

out = ARG1
machine = ARG2

kCounter = 0x9e9e9e
kVvar = 0x1f77b4
kOthers = 0xe6a04b
colour(group) = group == 0 ? kCounter : group == 1 ? kVvar : kOthers

kLongestBar = 32.0  # ns; longer ones are cut, and say so
clip(ns) = ns < kLongestBar ? ns : kLongestBar
label(ns) = ns < kLongestBar ? sprintf("%.2f", ns) : sprintf("%.0f →", ns)

do for [format in "svg png"] {
  if (format eq "svg") {
    set terminal svg size 960,620 font "sans,14" background "white"
  } else {
    set terminal pngcairo size 960,620 font "sans,11"
  }

  # --- Cost -------------------------------------------------------------------
  set output sprintf("%s/ns_per_read.%s", out, format)
  set title "Cost of one read of the time, back to back\n".machine noenhanced
  set xlabel "ns per read (median of batches)"
  set xrange [0:kLongestBar * 1.1]
  set yrange [-16.7:0.7]
  unset ylabel
  set ytics noenhanced nomirror
  set grid xtics lt 1 lc rgb "#dddddd"
  set style fill solid noborder
  set key bottom right
  plot out."/ns_per_read.dat" \
      using (clip($3) / 2):1:(clip($3) / 2):(0.36):(colour($4)):ytic(2) \
      with boxxyerror lc rgb variable notitle, \
    "" using (clip($3)):1:(label($3)) with labels left offset 0.5,0 notitle, \
    NaN with boxes lc rgb kCounter title "the counter alone", \
    NaN with boxes lc rgb kVvar title "vvar", \
    NaN with boxes lc rgb kOthers title "others"
  unset output

  # --- Offset -----------------------------------------------------------------
  set output sprintf("%s/offset.%s", out, format)
  set multiplot layout 2,2 title \
    "Offset to the kernel's clock: median and range in 200 slices of time\n" \
    .machine noenhanced
  set xlabel "seconds"
  set xrange [*:*]
  set yrange [-40:40]
  set ytics auto
  set grid xtics ytics lt 1 lc rgb "#dddddd"
  unset key
  do for [clock in "realtime monotonic"] {
    do for [place in "shared_page in_process"] {
      set title (clock eq "realtime" ? "REALTIME, " : "MONOTONIC, ") \
        .(place eq "shared_page" ? "page of another process" \
                                 : "clock of the process itself")
      set ylabel "kernel - vvar, ns"
      file = sprintf("%s/offset_%s_%s.dat", out, place, clock)
      set label 1 "bar of the 99th percentile: 30 ns" \
        at graph 0.98,first 34 right tc rgb "#777777"
      plot file using 1:2:4 with filledcurves lc rgb 0xaec7e8, \
        file using 1:3 with lines lc rgb kVvar, \
        30 with lines dt 2 lc rgb "#777777", \
        -30 with lines dt 2 lc rgb "#777777"
    }
  }
  unset multiplot
  unset output
  reset
}
